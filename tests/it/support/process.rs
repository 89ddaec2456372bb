//! A process whose output is kept and can be waited for, line by line.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

use super::PATIENCE;

/// A running process; it is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    /// What it printed on standard output.
    pub(crate) out: Arc<Captured>,
    /// What it printed on standard error.
    pub(crate) err: Arc<Captured>,
}

impl Process {
    /// Starts it with nothing to read.
    pub(crate) fn start(command: &mut Command) -> Self {
        Self::start_with(command, Stdio::null())
    }

    /// Starts it with something in the place of its standard input.
    pub(crate) fn start_with(command: &mut Command, input: impl Into<Stdio>) -> Self {
        let command = command.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary can be run");
        let out = Captured::of(child.stdout.take().expect("standard output is a pipe"));
        let err = Captured::of(child.stderr.take().expect("standard error is a pipe"));
        Self { child, out, err }
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process runs");
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.out.wait_for_end();
        self.err.wait_for_end();
        self.child.wait().expect("a child can be waited for")
    }

    /// Ends it at once, if it still runs.
    pub(crate) fn kill(&mut self) {
        // It fails only where the process has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.out.wait_for_end();
        self.err.wait_for_end();
    }

    /// Its number with the system.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it ever had, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()));
        let status = status.expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
        number.expect("the system knows its memory")
    }

    fn pid(&self) -> Pid {
        let id = i32::try_from(self.id()).expect("a process id is an i32");
        Pid::from_raw(id).expect("a child's id is not 0")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What came through a pipe so far.
#[derive(Default)]
pub(crate) struct Captured {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    text: String,
    ended: bool,
}

impl Captured {
    fn of(pipe: impl Read + Send + 'static) -> Arc<Self> {
        let captured = Arc::new(Self::default());
        let writer = Arc::clone(&captured);
        thread::spawn(move || {
            let mut reader = BufReader::new(pipe);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                writer.add(|state| state.text.push_str(&String::from_utf8_lossy(&line)));
                line.clear();
            }
            writer.add(|state| state.ended = true);
        });
        captured
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        self.lock().text.clone()
    }

    /// Waits until it contains what `find` looks for.
    pub(crate) fn wait_for<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let until = Instant::now() + PATIENCE;
        let mut state = self.lock();
        loop {
            if let Some(found) = find(&state.text) {
                return found;
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!state.ended && !left.is_zero(), "no {what} in:\n{}", state.text);
            let changed = self.changed.wait_timeout(state, left);
            state = changed.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn wait_for_end(&self) {
        let state = self.lock();
        let ended = self.changed.wait_timeout_while(state, PATIENCE, |state| !state.ended);
        let ended = ended.unwrap_or_else(PoisonError::into_inner);
        assert!(ended.0.ended, "the process does not end");
    }

    fn add(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A test that failed while it read leaves nothing half done, and its end wants to read on.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
