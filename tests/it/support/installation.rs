//! A directory with a configuration, and the commands that are run on it.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use toml::Table;

use super::process::Process;
use super::{Origin, TestGateway, TestStore, leaks};

/// What every test's configuration begins with: free ports, and hashes that cost next to nothing.
pub(super) const BASE: &str = r#"
[server]
workers = 2
[keys]
argon2 = { memory = "64KiB", iterations = 1, parallelism = 1 }
[limits]
failed_auth_per_ip = "1000000/min"
[admin]
failed_sign_in_per_ip = "1000000/min"
"#;
const BINARY: &str = env!("CARGO_BIN_EXE_keygate");
/// What was its standard input is handed over to the binary, which must find its own number in the
/// environment.
const HAND_OVER: &str = "exec 3<&0 0</dev/null; LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\"";
/// Mounts a disk of size `$1` at `$2`, and goes on as the binary `$0` with the rest.
const ON_SMALL_DISK: &str =
    "mount -t tmpfs -o size=\"$1\" tmpfs \"$2\" && shift 2 && exec \"$0\" \"$@\"";

/// A configuration and a store that a gateway will be started with.
pub(crate) struct Setup {
    store: TestStore,
    table: Table,
    variables: Vec<(String, String)>,
}

impl Setup {
    /// Begins with these settings.
    pub(super) fn new(store: TestStore, base: &str) -> Self {
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
        let journal = dir.path().join("usage");
        merge(&mut self.table, parse(&format!("[usage]\njournal = \"{}\"", journal.display())));
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
        TestGateway::serve(Arc::new(self), Arc::new(store))
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

    /// The same, words with spaces in them among its words.
    pub(crate) fn mint_words(&self, words: &[&str]) -> MintedKey {
        MintedKey::new(&self.run(&[&["--json"], words].concat()))
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

    /// Where its files are.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.dir.path()
    }

    /// Adds to the configuration file.
    pub(crate) fn rewrite(&self, change: &str) {
        let file = &self.config;
        let mut table = parse(&fs::read_to_string(file).expect("the file is there"));
        merge(&mut table, parse(change));
        self.write_config(&table);
    }

    /// Puts a text before the configuration file's, whatever comes of it.
    pub(crate) fn spoil(&self, text: &str) {
        let before = fs::read_to_string(&self.config).expect("the file is there");
        self.replace_config(&format!("{text}\n{before}"));
    }

    /// Takes a setting of the top level out of the configuration file.
    pub(crate) fn rewrite_without(&self, name: &str) {
        let file = &self.config;
        let mut table = parse(&fs::read_to_string(file).expect("the file is there"));
        table.remove(name);
        self.write_config(&table);
    }

    /// Starts the gateway with a socket that listens already, as systemd would: as its number 3.
    pub(crate) fn serve_handed(&self, socket: &TcpListener) -> Process {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", HAND_OVER, BINARY]);
        let socket = socket.try_clone().expect("a socket can be shared");
        Process::start_with(self.prepare(&mut command, &["serve"]), OwnedFd::from(socket))
    }

    /// Starts the gateway in a place of its own where the journal's folder is a disk of that size.
    pub(crate) fn serve_on_small_disk(&self, size: &str) -> Process {
        let folder = self.dir.path().join("usage");
        fs::create_dir(&folder).expect("a folder can be made");
        let mut command = Command::new("unshare");
        command.args(["-Urm", "/bin/sh", "-c", ON_SMALL_DISK, BINARY, size]).arg(folder);
        Process::start(self.prepare(&mut command, &["serve"]))
    }

    pub(super) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        self.prepare(&mut command, args);
        command
    }

    fn prepare<'a>(&self, command: &'a mut Command, args: &[&str]) -> &'a mut Command {
        command.arg("--config").arg(&self.config).args(args).current_dir(self.dir.path());
        command.env_clear().env("KEYGATE_LOG", "debug");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)))
    }

    fn write_config(&self, table: &Table) {
        self.replace_config(&toml::to_string(table).expect("a table can be written"));
    }

    /// At once, so that a running gateway never reads a half of it.
    fn replace_config(&self, text: &str) {
        let beside = self.dir.path().join("new.toml");
        fs::write(&beside, text).expect("the file can be written");
        fs::rename(&beside, &self.config).expect("the file can be replaced");
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

/// A command's words, asking for JSON.
pub(super) fn json(command: &str) -> Vec<&str> {
    ["--json"].into_iter().chain(command.split_whitespace()).collect()
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

/// What was printed, as JSON.
pub(super) fn to_json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: it is no JSON"))
}
