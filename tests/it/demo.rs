//! `keygate demo`: what it prints is true, line by line, pasted into a shell.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::leaks;

/// A running demo and what it printed.
struct Demo {
    child: Child,
    shown: Value,
}

impl Demo {
    fn start(temporary: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_keygate"))
            .args(["--json", "demo", "--listen", "127.0.0.1:0"])
            .args(arguments)
            .env("TMPDIR", temporary)
            .env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/real")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut text = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        while !text.ends_with("\n}\n") {
            assert_ne!(out.read_line(&mut text).unwrap(), 0, "the demo ended: {text}");
        }
        leaks::note_all(&text);
        Self { child, shown: serde_json::from_str(&text).unwrap() }
    }

    /// Pastes every line; status and body are as the demo said.
    fn paste_all(&self) {
        let calls = self.shown["calls"].as_array().unwrap();
        assert!(calls.len() > 5);
        for call in calls {
            let run = call["run"].as_str().unwrap();
            let done = Command::new("sh").args(["-c", run]).output().unwrap();
            let printed = String::from_utf8(done.stdout).unwrap();
            if let Some(status) = call["status"].as_u64() {
                let line = format!("HTTP/1.1 {status} ");
                assert!(printed.starts_with(&line), "{call}: {printed}");
            }
            if let Some(body) = call["body"].as_str() {
                assert_eq!(printed.lines().last().unwrap().trim_end(), body, "{call}");
            }
        }
    }

    fn secret(&self, key: usize) -> &str {
        self.shown["keys"][key]["secret"].as_str().unwrap()
    }

    /// Ends it as Ctrl-C does.
    fn interrupt(mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It has ended already where the test came to its end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn each_line_pasted_answers_as_the_print_says_and_nothing_stays_behind() {
    let temporary = TempDir::new().unwrap();
    let demo = Demo::start(temporary.path(), &[]);
    demo.paste_all();
    demo.interrupt();
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_second_demo_does_not_share_the_firsts_port() {
    let temporary = TempDir::new().unwrap();
    let demo = Demo::start(temporary.path(), &[]);
    let taken = demo.shown["data"].as_str().unwrap().trim_start_matches("http://");
    let second = Command::new(env!("CARGO_BIN_EXE_keygate"))
        .args(["demo", "--listen", taken])
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains(&format!("cannot listen on {taken}")), "{said}");
    demo.interrupt();
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0);
}

#[test]
fn a_demo_stands_in_front_of_a_given_api_and_keeps_its_keys_where_it_is_told() {
    let temporary = TempDir::new().unwrap();
    let api = Demo::start(temporary.path(), &[]);
    let upstream = api.shown["upstream"].as_str().unwrap();
    let data = temporary.path().join("data");
    let arguments = ["--upstream", upstream, "--data-dir", data.to_str().unwrap()];
    let first = Demo::start(temporary.path(), &arguments);
    first.paste_all();
    let (keys, secret) = (first.shown["keys"].clone(), first.secret(0).to_owned());
    first.interrupt();
    let second = Demo::start(temporary.path(), &arguments);
    second.paste_all();
    assert_eq!(second.shown["keys"][0]["id"], keys[0]["id"]);
    assert_ne!(second.secret(0), secret);
    second.interrupt();
    api.interrupt();
    leaks::search_folder(&data);
}
