//! A real Postgres server of Debian's packages, for as long as the tests run.
//!
//! A watchdog process holds the other end of a pipe. When the test process ends, in whatever way,
//! the pipe closes, and the watchdog kills the server and removes its folder.

use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

/// How often a port that was free is taken by another before ours binds it.
const ATTEMPTS: u32 = 5;

/// Waits for the end of its input, then kills the server of the folder `$1` and removes it.
const WATCHDOG: &str = r#"
cat >/dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2>/dev/null)
if [ -n "$pid" ]; then
    children=$(pgrep -P "$pid")
    kill -KILL "$pid" $children 2>/dev/null
    while kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
fi
rm -rf "$1"
"#;

/// A server on a port of its own, gone with the process or on drop.
pub(crate) struct Postgres {
    folder: PathBuf,
    port: u16,
    databases: AtomicU32,
    watchdog: Child,
    /// Closed, it lets the watchdog do its work.
    lifeline: Option<ChildStdin>,
}

impl Postgres {
    /// The server that all tests of this process share. `None`, and a word about it, where no
    /// server is installed; a failure where `CI` is set.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Postgres>> = OnceLock::new();
        SHARED.get_or_init(Self::own).as_ref()
    }

    /// A server of the test's own, to be stopped and started. `None` as for the shared one.
    pub(crate) fn own() -> Option<Self> {
        let Some(_) = binaries() else {
            super::skipped("Postgres server", "postgresql");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("keygate-pg-").tempdir().unwrap().keep();
        if rustix::process::geteuid().is_root() {
            run(Command::new("chown").arg("postgres:").arg(&folder));
        }
        let mut watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "watchdog"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let lifeline = watchdog.stdin.take();
        let mut server = Self { folder, port: 0, databases: AtomicU32::new(0), watchdog, lifeline };
        server.initialise();
        Some(server)
    }

    /// A fresh database; its URL.
    pub(crate) fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let (port, host) = (self.port.to_string(), self.folder.as_os_str());
        run(tool("createdb").args(["-U", "postgres", "-p", &port, "-h"]).arg(host).arg(&name));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Ends the server at once, as a crash would.
    pub(crate) fn stop(&self) {
        run(tool("pg_ctl").args(["stop", "-m", "immediate", "-w", "-D"]).arg(self.data()));
    }

    /// Starts it again on the same port; returns when it answers.
    pub(crate) fn start(&self) {
        assert!(self.try_start(), "{}", self.log());
    }

    /// Lets every process of the server stand still: it accepts connections and says nothing.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets them go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn initialise(&mut self) {
        run(tool("initdb")
            .args(["-N", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "-D"])
            .arg(self.data()));
        for _ in 0..ATTEMPTS {
            self.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if self.try_start() {
                return;
            }
        }
        panic!("the server does not start: {}", self.log());
    }

    fn try_start(&self) -> bool {
        let options = format!(
            "-p {} -k {} -c listen_addresses=127.0.0.1 -c fsync=off -c full_page_writes=off \
             -c max_connections=200 -c shared_buffers=32MB",
            self.port,
            self.folder.display()
        );
        let mut start = tool("pg_ctl");
        start.args(["start", "-w", "-D"]).arg(self.data()).arg("-o").arg(options);
        start.arg("-l").arg(self.folder.join("log"));
        start.stdin(Stdio::null()).stdout(Stdio::null()).status().unwrap().success()
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let file = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap();
        let postmaster = file.lines().next().unwrap();
        let children = Command::new("pgrep").args(["-P", postmaster]).output().unwrap().stdout;
        let children = String::from_utf8(children).unwrap();
        for pid in std::iter::once(postmaster).chain(children.lines()) {
            let pid = Pid::from_raw(pid.parse().unwrap()).unwrap();
            // A child may have ended since.
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.lifeline.take());
        let _ = self.watchdog.wait();
    }
}

/// A server's program, run as the user that Debian made for it where we are root, whom the server
/// refuses.
fn tool(name: &str) -> Command {
    let program = binaries().expect("a server is installed").join(name);
    if !rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command.current_dir("/");
    command
}

/// The newest installed server's programs.
fn binaries() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    versions
        .filter_map(|version| Some(version.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists())
        .max_by_key(|folder| version(folder))
}

fn version(folder: &Path) -> Option<u32> {
    folder.parent()?.file_name()?.to_str()?.parse().ok()
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
