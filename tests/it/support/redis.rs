//! A real Redis server of Debian's packages, to be killed, frozen and started again.
//!
//! A watchdog process holds the other end of a pipe. When the test process ends, in whatever way,
//! the pipe closes, and the watchdog kills the server and removes its folder.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Mutex;

use rustix::process::{Pid, Signal, kill_process};

use super::tls::Authority;
use super::until;

/// Waits for the end of its input, then kills the server of the folder `$1` and removes it.
const WATCHDOG: &str = r#"
cat >/dev/null
pid=$(cat "$1/pid" 2>/dev/null)
[ -n "$pid" ] && kill -KILL "$pid" 2>/dev/null
rm -rf "$1"
"#;

/// A server on a port of its own, gone with the process or on drop.
pub(crate) struct Redis {
    folder: PathBuf,
    port: u16,
    options: Vec<String>,
    running: Mutex<Option<Child>>,
    watchdog: Child,
    /// Closed, it lets the watchdog do its work.
    lifeline: Option<ChildStdin>,
}

impl Redis {
    /// A running server that forgets everything when it ends. `None`, and a word about it, where none
    /// is installed; a failure where `CI` is set.
    pub(crate) fn start() -> Option<Self> {
        Self::with(&["--save", "", "--appendonly", "no"])
    }

    /// A running server that keeps what it has answered for.
    pub(crate) fn that_remembers() -> Option<Self> {
        Self::with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// A running server that speaks TLS alone, with the certificate of that name.
    pub(crate) fn over_tls(authority: &Authority, name: &str) -> Option<Self> {
        let file = |name: String| authority.file(&name).display().to_string();
        let (cert, key) = (file(format!("{name}.pem")), file(format!("{name}.key")));
        let ca = file("ca.pem".to_owned());
        Self::with(&[
            "--tls-cert-file",
            &cert,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &ca,
            "--tls-auth-clients",
            "no",
        ])
    }

    /// A running server with these options.
    pub(crate) fn with(options: &[&str]) -> Option<Self> {
        let server = Self::stopped(options)?;
        server.run();
        Some(server)
    }

    /// A server that does not run yet, whose port is known.
    pub(crate) fn stopped(options: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            super::skipped("Redis server", "redis-server");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("keygate-redis-").tempdir().unwrap().keep();
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let lifeline = watchdog.stdin.take();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        Some(Self { folder, port, options, running: Mutex::default(), watchdog, lifeline })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Its socket on this machine.
    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    /// The setting that has limits shared by it.
    pub(crate) fn setting(&self) -> String {
        format!("[cluster]\nredis = \"redis://{}\"", self.address())
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&self) {
        let mut child = self.running.lock().unwrap().take().expect("it runs");
        child.kill().expect("it runs");
        child.wait().expect("a child can be waited for");
    }

    /// Starts it, again or for the first time; returns when it takes connections.
    pub(crate) fn run(&self) {
        let mut server = Command::new("redis-server");
        server.args(["--bind", "127.0.0.1", "--unixsocket"]).arg(self.socket());
        let port = self.port.to_string();
        if self.is_tls() {
            server.args(["--port", "0", "--tls-port", &port]);
        } else {
            server.args(["--port", &port]);
        }
        server.arg("--dir").arg(&self.folder).args(&self.options);
        let child = server.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        std::fs::write(self.folder.join("pid"), child.id().to_string()).unwrap();
        *self.running.lock().unwrap() = Some(child);
        until("Redis listens", || TcpStream::connect(self.address()).is_ok());
        until("Redis has loaded its data", || self.ask(&["PING"]) == "PONG");
    }

    /// Lets it stand still: it accepts connections and says nothing.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Asks it something.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let mut client = Command::new("redis-cli");
        client.arg("-s").arg(self.socket()).arg("--no-auth-warning");
        if let Some(at) = self.options.iter().position(|option| option == "--requirepass") {
            client.args(["-a", &self.options[at + 1]]);
        }
        let output = client.args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn is_tls(&self) -> bool {
        self.options.iter().any(|option| option == "--tls-cert-file")
    }

    fn signal(&self, signal: Signal) {
        let running = self.running.lock().unwrap();
        let id = i32::try_from(running.as_ref().expect("it runs").id()).unwrap();
        kill_process(Pid::from_raw(id).unwrap(), signal).unwrap();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(child) = self.running.get_mut().unwrap() {
            let _ = child.kill();
            let _ = child.wait();
        }
        drop(self.lifeline.take());
        let _ = self.watchdog.wait();
    }
}
