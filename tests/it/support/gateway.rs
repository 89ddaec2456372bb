//! The real binary, serving, with everything that a test does to it.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use toml::Table;

use super::curl::Curl;
use super::metrics::Metrics;
use super::process::Process;
use super::{Answer, Origin, TestStore, leaks, wire};

/// What every test's configuration begins with: free ports, and hashes that cost next to nothing.
const BASE: &str = r#"
[server]
workers = 2
[keys]
argon2 = { memory = "64KiB", iterations = 1, parallelism = 1 }
[limits]
failed_auth_per_ip = "1000000/min"
"#;
const BINARY: &str = env!("CARGO_BIN_EXE_keygate");

/// A configuration and a store that a gateway will be started with.
pub(crate) struct Setup {
    store: TestStore,
    table: Table,
    variables: Vec<(String, String)>,
}

impl Setup {
    fn new(store: TestStore, base: &str) -> Self {
        Self { store, table: parse(base), variables: Vec::new() }
    }

    /// Adds to the configuration; what is there already is replaced.
    pub(crate) fn config(mut self, text: &str) -> Self {
        merge(&mut self.table, parse(text));
        self
    }

    /// Sets where an upstream is.
    pub(crate) fn upstream(self, name: &str, origin: &Origin) -> Self {
        let address = origin.address();
        self.config(&format!("[upstreams.{name}]\ntargets = [\"http://{address}\"]"))
    }

    /// Sets where an upstream's sandbox is.
    pub(crate) fn sandbox(self, name: &str, origin: &Origin) -> Self {
        let address = origin.address();
        self.config(&format!("[upstreams.{name}]\nsandbox = [\"http://{address}\"]"))
    }

    /// Sets an environment variable of the gateway and of every command.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the gateway and waits until it listens.
    pub(crate) fn start(self) -> TestGateway {
        let (installation, store) = self.install();
        if store.needs_migration() {
            installation.run(&["migrate"]);
        }
        installation.serve(store)
    }

    /// Writes the configuration without starting anything.
    pub(crate) fn install(mut self) -> (Installation, TestStore) {
        let url = self.store.url();
        merge(
            &mut self.table,
            parse(&format!(
                "[server]\nlisten = [\"127.0.0.1:0\"]\n[admin]\nlisten = \"127.0.0.1:0\"\n\
                 [store]\nurl = \"{url}\"\n"
            )),
        );
        let dir = TempDir::new().expect("a directory can be made");
        let config = dir.path().join("keygate.toml");
        let installation = Installation { dir, config, variables: self.variables };
        installation.write_config(&self.table);
        (installation, self.store)
    }
}

/// A directory with a configuration that commands are run on.
pub(crate) struct Installation {
    dir: TempDir,
    config: PathBuf,
    variables: Vec<(String, String)>,
}

impl Installation {
    /// Starts the gateway and waits until it listens.
    pub(crate) fn serve(self, store: TestStore) -> TestGateway {
        let process = Process::start(self.command(&["serve"]).env("KEYGATE_LOG", "debug"));
        let address = |plane: &str| process.err.wait_for(plane, |log| listening(log, plane));
        let (data, admin) = (address("(data plane)"), address("(admin)"));
        TestGateway { installation: self, store, process, data, admin }
    }

    /// Runs a command that must do its work; what it printed on standard output.
    pub(crate) fn run(&self, args: &[&str]) -> String {
        let printed = self.try_run(args);
        assert_eq!(printed.code, 0, "keygate {args:?}: {}", printed.err);
        printed.out
    }

    /// Runs a command that gives a secret.
    pub(crate) fn mint(&self, command: &str) -> MintedKey {
        MintedKey::new(&self.run(&json(command)))
    }

    /// Runs a command. What it says on standard error is searched for secrets.
    pub(crate) fn try_run(&self, args: &[&str]) -> Printed {
        self.try_run_with(args, "")
    }

    /// Runs a command that reads this from its standard input.
    pub(crate) fn try_run_with(&self, args: &[&str], input: &str) -> Printed {
        let mut command = self.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("keygate can be run");
        let mut stdin = child.stdin.take().expect("standard input is a pipe");
        // A command that reads nothing may have ended by then.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        let output = child.wait_with_output().expect("keygate ends");
        leaks::search("a command's standard error", &output.stderr);
        Printed {
            code: output.status.code().expect("the command ends by itself"),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.arg("--config").arg(&self.config).args(args).current_dir(self.dir.path());
        command.env_clear().envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn write_config(&self, table: &Table) {
        let text = toml::to_string(table).expect("a table can be written");
        fs::write(&self.config, text).expect("the file can be written");
    }
}

/// How a command ended, and what it said.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A key that a command minted.
pub(crate) struct MintedKey {
    /// What the command printed, without the secret.
    pub(crate) json: Value,
    secret: String,
}

impl MintedKey {
    fn new(printed: &str) -> Self {
        let mut json = to_json(printed);
        let secret = json.as_object_mut().and_then(|object| object.remove("secret"));
        let secret = secret.as_ref().and_then(Value::as_str).expect("a minted secret").to_owned();
        leaks::note(&secret);
        Self { json, secret }
    }

    /// A key that the test wrote to the store itself.
    pub(crate) fn known(id: &str, secret: &str) -> Self {
        leaks::note(secret);
        Self { json: serde_json::json!({"id": id}), secret: secret.to_owned() }
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    pub(crate) fn id(&self) -> &str {
        self.json["id"].as_str().expect("a key has an id")
    }
}

/// A running gateway. When it is dropped, its log and its store are searched for secrets.
pub(crate) struct TestGateway {
    installation: Installation,
    store: TestStore,
    process: Process,
    data: SocketAddr,
    admin: SocketAddr,
}

impl TestGateway {
    /// A gateway with weak hashes, on that store.
    pub(crate) fn with(store: TestStore) -> Setup {
        Setup::new(store, BASE)
    }

    /// A gateway with one of the files in `config/examples`, but for addresses and store.
    pub(crate) fn example(file: &str, store: TestStore) -> Setup {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples").join(file);
        Setup::new(store, &fs::read_to_string(path).expect("the example is there"))
    }

    /// Where clients go.
    pub(crate) fn address(&self) -> SocketAddr {
        self.data
    }

    /// What keeps its keys.
    pub(crate) fn store(&self) -> &TestStore {
        &self.store
    }

    /// A call of curl to a path of the data plane.
    pub(crate) fn curl(&self, path: &str) -> Curl {
        Curl::new(self.data, path)
    }

    /// A call of curl to a path of the admin listener.
    pub(crate) fn admin(&self, path: &str) -> Answer {
        Curl::new(self.admin, path).send()
    }

    /// What `/metrics` says now; it is searched for secrets.
    pub(crate) fn metrics(&self) -> Metrics {
        let request = "GET /metrics HTTP/1.1\r\nHost: admin\r\n\r\n";
        let answer = wire::ask(self.admin, request);
        assert_eq!(answer.status, 200);
        leaks::search("the metrics", &answer.body);
        Metrics(answer.text())
    }

    /// Mints a key with the flags of `key create`, in another process.
    pub(crate) fn key(&self, flags: &str) -> MintedKey {
        self.mint(&format!("key create {flags}"))
    }

    /// Runs a command that gives a secret.
    pub(crate) fn mint(&self, command: &str) -> MintedKey {
        self.installation.mint(command)
    }

    /// Runs a command, in another process, that must do its work; its JSON.
    pub(crate) fn run(&self, command: &str) -> Value {
        let printed = self.installation.run(&json(command));
        leaks::search("a command's answer", printed.as_bytes());
        if printed.trim().is_empty() { Value::Null } else { to_json(&printed) }
    }

    /// Where commands are run by hand.
    pub(crate) fn installation(&self) -> &Installation {
        &self.installation
    }

    /// Adds to the configuration file of the running gateway.
    pub(crate) fn rewrite(&self, change: &str) {
        let file = &self.installation.config;
        let mut table = parse(&fs::read_to_string(file).expect("the file is there"));
        merge(&mut table, parse(change));
        self.installation.write_config(&table);
    }

    /// Puts a text before the configuration file's, whatever comes of it.
    pub(crate) fn spoil(&self, text: &str) {
        let file = &self.installation.config;
        let before = fs::read_to_string(file).expect("the file is there");
        fs::write(file, format!("{text}\n{before}")).expect("the file can be written");
    }

    /// Waits until the process's log holds a text.
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.process.err.wait_for(text, |log| log.contains(text).then_some(()));
    }

    /// Takes a setting of the top level out of the configuration file.
    pub(crate) fn rewrite_without(&self, name: &str) {
        let file = &self.installation.config;
        let mut table = parse(&fs::read_to_string(file).expect("the file is there"));
        table.remove(name);
        self.installation.write_config(&table);
    }

    /// The most memory that the process ever had, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        self.process.peak_memory_kib()
    }

    /// The access log so far.
    pub(crate) fn access_log(&self) -> String {
        self.process.out.text()
    }

    /// Waits for the access log's line of the request with that id.
    pub(crate) fn access_line(&self, request_id: &str) -> Value {
        let id = format!("\"{request_id}\"");
        let find = |log: &str| log.lines().find(|line| line.contains(&id)).map(str::to_owned);
        to_json(&self.process.out.wait_for("access log line", find))
    }

    /// Sends the process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.process.wait()
    }
}

impl Drop for TestGateway {
    fn drop(&mut self) {
        self.process.kill();
        let (out, err) = (self.process.out.text(), self.process.err.text());
        if std::thread::panicking() {
            eprintln!("--- the gateway's log ---\n{err}--- its standard output ---\n{out}");
            return;
        }
        leaks::search("the gateway's log", err.as_bytes());
        leaks::search("the gateway's standard output", out.as_bytes());
        leaks::search("the store", &self.store.dump());
    }
}

/// A command's words, asking for JSON.
fn json(command: &str) -> Vec<&str> {
    ["--json"].into_iter().chain(command.split_whitespace()).collect()
}

/// The address in `listening on http://ADDRESS (PLANE)`.
fn listening(log: &str, plane: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("listening on") && line.contains(plane))?;
    let (_, address) = line.split_once("http://")?;
    address.split(' ').next()?.parse().ok()
}

fn parse(text: &str) -> Table {
    text.parse().unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Puts one table over another; arrays are replaced as a whole.
fn merge(below: &mut Table, above: Table) {
    for (name, value) in above {
        match (below.get_mut(&name), value) {
            (Some(toml::Value::Table(below)), toml::Value::Table(above)) => merge(below, above),
            (_, value) => drop(below.insert(name, value)),
        }
    }
}

fn to_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: it is no JSON"))
}
