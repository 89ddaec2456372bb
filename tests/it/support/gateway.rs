//! The real binary, serving, with everything that a test does to it.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;

use rustix::process::Signal;
use serde_json::Value;

use super::curl::Curl;
use super::installation::{BASE, Installation, MintedKey, Setup, json, to_json};
use super::metrics::Metrics;
use super::process::Process;
use super::{Answer, Link, TestStore, leaks, wire};

/// A running gateway. When it is dropped, its log and its store are searched for secrets.
pub(crate) struct TestGateway {
    installation: Arc<Installation>,
    store: Arc<TestStore>,
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

    /// Starts the gateway and waits until it listens.
    pub(super) fn serve(installation: Arc<Installation>, store: Arc<TestStore>) -> Self {
        Self::serve_with(installation, store, &[])
    }

    fn serve_with(
        installation: Arc<Installation>,
        store: Arc<TestStore>,
        variables: &[(&str, &str)],
    ) -> Self {
        let mut command = installation.command(&["serve"]);
        command.envs(variables.iter().copied());
        Self::listening(installation, store, Process::start(&mut command))
    }

    /// Starts the gateway with a socket that listens already, as systemd would, and waits until it
    /// listens on it.
    pub(crate) fn handed(
        socket: &TcpListener,
        installation: Arc<Installation>,
        store: Arc<TestStore>,
    ) -> Self {
        let process = installation.serve_handed(socket);
        Self::listening(installation, store, process)
    }

    /// Starts the gateway with its journal on a disk of that size, which it alone sees.
    pub(crate) fn on_small_disk(
        size: &str,
        installation: Arc<Installation>,
        store: Arc<TestStore>,
    ) -> Self {
        let process = installation.serve_on_small_disk(size);
        Self::listening(installation, store, process)
    }

    fn listening(installation: Arc<Installation>, store: Arc<TestStore>, process: Process) -> Self {
        let address = |plane: &str| process.err.wait_for(plane, |log| listening(log, plane));
        let (data, admin) = (address("(data plane)"), address("(admin)"));
        Self { installation, store, process, data, admin }
    }

    /// Starts one more instance with the same configuration on the same store, on ports of its own.
    pub(crate) fn another(&self) -> Self {
        Self::serve(Arc::clone(&self.installation), Arc::clone(&self.store))
    }

    /// The same with variables of its own.
    pub(crate) fn another_with(&self, variables: &[(&str, &str)]) -> Self {
        Self::serve_with(Arc::clone(&self.installation), Arc::clone(&self.store), variables)
    }

    /// Starts one more instance that comes to its Postgres over a link of its own.
    pub(crate) fn another_behind_a_link(&self) -> (Self, Link) {
        let url = self.store.url();
        let (before, rest) = url.split_once('@').expect("the store is a Postgres");
        let (server, database) = rest.split_once('/').expect("it has a database");
        let link = Link::to(server.parse().expect("it is at an address"));
        let url = format!("{before}@{}/{database}", link.address());
        (self.another_with(&[("DATABASE_URL", &url)]), link)
    }

    /// Starts the process that is to take this one's place, with the same configuration on the same
    /// store and ports.
    pub(crate) fn successor(&self) -> Self {
        self.rewrite(&format!(
            "[server]\nlisten = [\"{}\"]\n[admin]\nlisten = \"{}\"",
            self.data, self.admin
        ));
        self.another()
    }

    /// The same, with the socket that this one was handed.
    pub(crate) fn another_handed(&self, socket: &TcpListener) -> Self {
        Self::handed(socket, Arc::clone(&self.installation), Arc::clone(&self.store))
    }

    /// Where clients go.
    pub(crate) fn address(&self) -> SocketAddr {
        self.data
    }

    /// Where clients are sent from to TLS.
    pub(crate) fn redirect_address(&self) -> SocketAddr {
        self.process.err.wait_for("(to https)", |log| listening(log, "(to https)"))
    }

    /// What keeps its keys.
    pub(crate) fn store(&self) -> &TestStore {
        &self.store
    }

    /// A call of curl to a path of the data plane.
    pub(crate) fn curl(&self, path: &str) -> Curl {
        Curl::new(self.data, path)
    }

    /// Where the admin listener is.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.admin
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

    /// Adds to the configuration file that it was started with.
    pub(crate) fn rewrite(&self, change: &str) {
        self.installation.rewrite(change);
    }

    /// Waits until the process's log holds a text.
    pub(crate) fn wait_for_log(&self, text: &str) {
        self.process.err.wait_for(text, |log| log.contains(text).then_some(()));
    }

    /// The most memory that the process ever had, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        self.process().peak_memory_kib()
    }

    /// The process itself.
    pub(crate) fn process(&self) -> &Process {
        &self.process
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

    /// The process's log so far.
    pub(crate) fn log(&self) -> String {
        self.process.err.text()
    }

    /// The process's id.
    pub(crate) fn process_id(&self) -> u32 {
        self.process.id()
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

/// The address in `listening on http://ADDRESS (PLANE)`.
fn listening(log: &str, plane: &str) -> Option<SocketAddr> {
    let line = log.lines().find(|line| line.contains("listening on") && line.contains(plane))?;
    let (_, address) = line.split_once("://")?;
    address.split(' ').next()?.parse().ok()
}
