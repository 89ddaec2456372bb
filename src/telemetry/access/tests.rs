use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::{Receiver, Sender, channel};

use proptest::prelude::*;

use super::*;
use crate::config::LogOutput;
use crate::domain::{Environment, Reason};
use crate::key::SecretFormat;

fn format() -> SecretFormat {
    SecretFormat {
        live_prefix: "sk_live_".to_owned(),
        test_prefix: Some("sk_test_".to_owned()),
        checksum: true,
    }
}

fn entry<'a>(path: &'a str, query: Option<&'a str>, format: &'a SecretFormat) -> Entry<'a> {
    Entry {
        at_ms: 1_767_225_600_120,
        request_id: "0193f3a0",
        client: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        method: Some("POST"),
        path: Some(path),
        query,
        route: Some("/v1/agents/{id}/runs"),
        status: 200,
        reason: None,
        key_id: Some("key_06e"),
        owner_id: Some("default"),
        env: Some(Environment::Live),
        upstream: Some("api"),
        target: Some("127.0.0.1:9000"),
        duration: Duration::from_micros(12_345),
        overhead: Duration::from_nanos(41_900),
        bytes_in: 10,
        bytes_out: 2_048,
        format,
    }
}

fn text(entry: &Entry<'_>) -> String {
    String::from_utf8(entry.to_line()).unwrap()
}

#[test]
fn a_line_has_exactly_the_fields_of_the_contract() {
    insta::assert_snapshot!(text(&entry("/v1/agents/7/runs", Some("a=1&b=\"é\""), &format())), @r#"{"ts":"2026-01-01T00:00:00.120Z","request_id":"0193f3a0","client":"203.0.113.7","method":"POST","path":"/v1/agents/7/runs?a=1&b=\"é\"","route":"/v1/agents/{id}/runs","status":200,"reason":null,"key_id":"key_06e","owner_id":"default","env":"live","upstream":"api","target":"127.0.0.1:9000","duration_ms":12.345,"overhead_ms":0.041,"bytes_in":10,"bytes_out":2048}"#);
}

#[test]
fn what_is_unknown_is_null() {
    let format = format();
    let unreadable = Entry {
        method: None,
        path: None,
        route: None,
        status: 400,
        reason: Some(Reason::BadRequest),
        key_id: None,
        owner_id: None,
        env: None,
        upstream: None,
        target: None,
        ..entry("", Some("x"), &format)
    };
    let value: serde_json::Value = serde_json::from_str(&text(&unreadable)).unwrap();
    for field in ["method", "path", "route", "key_id", "owner_id", "env", "upstream", "target"] {
        assert!(value[field].is_null(), "{field}");
    }
    assert_eq!(value["reason"], "bad_request");
}

#[test]
fn a_client_cannot_break_the_line_or_put_a_secret_anywhere_in_it() {
    let format = format();
    let minted = format.mint(Environment::Live).unwrap().unwrap();
    let secret = minted.text.expose();
    let (path, query) = (format!("/{secret}\n\"}}"), format!("k={secret}"));
    let hostile =
        Entry { request_id: secret, method: Some(secret), ..entry(&path, Some(&query), &format) };
    let line = text(&hostile);
    assert_eq!(line.matches('\n').count(), 1);
    assert!(!line.contains(&secret[minted.hint.len()..]), "{line}");
    let value: serde_json::Value = serde_json::from_str(&line).unwrap();
    let hint = &minted.hint;
    assert_eq!(value["path"], format!("/{hint}***\n\"}}?k={hint}***"));
    assert_eq!(value["request_id"], format!("{hint}***"));
    assert_eq!(value.as_object().unwrap().len(), 17);
}

#[test]
fn an_empty_query_keeps_its_question_mark() {
    let format = format();
    let value: serde_json::Value =
        serde_json::from_str(&text(&entry("/a", Some(""), &format))).unwrap();
    assert_eq!(value["path"], "/a?");
}

proptest! {
    #[test]
    fn every_line_is_one_json_object(path in "\\PC*", query in proptest::option::of("\\PC*")) {
        let format = format();
        let line = text(&entry(&path, query.as_deref(), &format));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        prop_assert_eq!(value.as_object().unwrap().len(), 17);
    }
}

/// An output that says when it is written to, and takes it once it is let.
struct Held {
    reached: Sender<()>,
    released: Receiver<()>,
    written: Sender<Vec<u8>>,
}

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.reached.send(());
        let _ = self.released.recv();
        let _ = self.written.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_beyond_the_queue_are_dropped_and_counted_and_the_rest_is_written() {
    let metrics = Metrics::new(1, "0");
    let (reached, is_reached) = channel();
    let (release, released) = channel();
    let (written, lines) = channel();
    let sink = Box::new(Held { reached, released, written });
    let log = AccessLog::start_with(sink, 4, Arc::clone(&metrics)).unwrap();
    let format = format();
    let line = entry("/a", None, &format);
    log.write(&line);
    is_reached.recv().unwrap();
    for _ in 0..7 {
        log.write(&line);
    }
    assert_eq!(metrics.access_log_dropped.read(), 3);
    drop(release);
    log.close();
    let written = String::from_utf8(lines.try_iter().flatten().collect()).unwrap();
    assert_eq!(written.lines().count(), 5);
    log.write(&line);
    assert_eq!(metrics.access_log_dropped.read(), 4, "what comes after the end is counted too");
}

fn to_file(path: &std::path::Path, sample: f64) -> config::AccessLog {
    config::AccessLog { output: LogOutput::File(path.to_owned()), sample }
}

#[test]
fn a_file_that_was_moved_away_is_made_anew_when_the_log_is_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let (path, rotated) = (folder.path().join("access.log"), folder.path().join("access.log.1"));
    let format = format();
    let log = AccessLog::start(&to_file(&path, 1.0), Metrics::new(1, "0")).unwrap();
    fs::rename(&path, &rotated).unwrap();
    log.reopen(&to_file(&path, 1.0)).unwrap();
    log.write(&entry("/behind", None, &format));
    log.close();
    assert!(fs::read_to_string(&path).unwrap().contains("/behind"));
    assert_eq!(fs::read_to_string(&rotated).unwrap(), "");
}

#[test]
fn an_output_that_cannot_be_opened_leaves_the_old_one_in_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let format = format();
    let log = AccessLog::start(&to_file(&path, 1.0), Metrics::new(1, "0")).unwrap();
    assert!(log.reopen(&to_file(&folder.path().join("none/access.log"), 0.0)).is_err());
    assert!(log.wants());
    log.write(&entry("/a", None, &format));
    log.close();
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 1);
}

#[test]
fn a_sample_of_nothing_wants_nothing_and_a_half_wants_about_half() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let log = AccessLog::start(&to_file(&path, 0.0), Metrics::new(1, "0")).unwrap();
    assert!((0..1_000).all(|_| !log.wants()));
    log.reopen(&to_file(&path, 0.5)).unwrap();
    let wanted = (0..10_000).filter(|_| log.wants()).count();
    // Ten standard deviations.
    assert!((4_500..=5_500).contains(&wanted), "{wanted}");
    log.reopen(&to_file(&path, 1.0)).unwrap();
    assert!((0..1_000).all(|_| log.wants()));
}
