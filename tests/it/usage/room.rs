//! What is done with no room for the journal, and what is not on the books.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use serde_json::json;
use tungstenite::handshake::client::Request;

use super::{CONFIG, booked, until_all_is_booked};
use crate::support::load::{get, send_all, tally};
use crate::support::{Origin, TestGateway, TestStore, Wire, skipped, until};

/// Records of a segment.
const SEGMENT: usize = 16_384;

#[test]
fn requests_of_keys_are_on_the_books_and_nothing_else_is() {
    let origin = Origin::start();
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG);
    let gateway = setup.upstream("api", &origin).start();
    let key = gateway.key("--name a");
    let named = |name: &str| format!("X-Request-Id: {name}");
    assert_eq!(gateway.curl("/open").header(&named("public")).send().status, 200);
    assert_eq!(gateway.curl("/a").header(&named("none")).send().status, 401);
    assert_eq!(gateway.curl("/a").bearer(&key).header(&named("one")).send().status, 200);
    assert_eq!(gateway.curl("/b").bearer(&key).header(&named("two")).send().status, 200);
    until_all_is_booked(&gateway);
    let booked: Vec<_> = booked(gateway.store()).into_iter().collect();
    assert_eq!(booked, [("one".to_owned(), 1), ("two".to_owned(), 1)]);
}

#[test]
fn a_request_that_no_upstream_answers_is_not_on_the_books() {
    let origin = Origin::scripted(|_| Err(std::io::ErrorKind::ConnectionReset.into()));
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG);
    let gateway = setup.upstream("api", &origin).start();
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 502);
    until_all_is_booked(&gateway);
    assert!(booked(gateway.store()).is_empty());
    assert_eq!(gateway.metrics().total("keygate_usage_written_total"), 0);
}

#[test]
fn a_websocket_is_on_the_books_while_it_is_open() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let served = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a connection comes");
        let mut socket = tungstenite::accept(stream).expect("a handshake comes");
        while socket.read().is_ok() {}
    });
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG);
    let upstream = format!("[upstreams.api]\ntargets = [\"http://{address}\"]");
    let gateway = setup.config(&upstream).start();
    let key = gateway.key("--name a");
    let request = Request::builder()
        .uri(format!("ws://{}/chat", gateway.address()))
        .header("host", "gateway")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", tungstenite::handshake::client::generate_key())
        .header("x-api-key", key.secret())
        .body(())
        .expect("this is a request");
    let stream = TcpStream::connect(gateway.address()).expect("the gateway listens");
    let (socket, _) = tungstenite::client(request, stream).expect("the handshake is answered");
    until_booked(&gateway, 1);
    let rows = gateway.run("usage --by status")["data"].clone();
    assert_eq!((&rows[0]["group"], &rows[0]["requests"]), (&json!("101"), &json!(1)));
    drop(socket);
    served.join().expect("the server ends");
}

#[test]
fn an_answer_is_in_the_journal_before_its_client_has_any_of_it() {
    let origin = Origin::start();
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG);
    let gateway = setup.upstream("api", &origin).start();
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    for number in 1..=200 {
        wire.send(get("/a", key.secret()));
        assert_eq!(wire.answer().status, 200);
        assert_eq!(gateway.metrics().total("keygate_usage_written_total"), number);
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_of_the_start_that_says_what_to_do() {
    let (installation, _store) = TestGateway::with(TestStore::sqlite())
        .config(CONFIG)
        .config("[upstreams.api]\ntargets = [\"http://127.0.0.1:9\"]")
        .install();
    installation.rewrite("[usage]\njournal = \"/proc/nothing\"");
    let printed = installation.try_run(&["serve"]);
    assert_eq!(printed.code, 1, "{}", printed.err);
    assert!(
        printed.err.contains("the usage journal cannot be kept in /proc/nothing"),
        "{}",
        printed.err
    );
    assert!(printed.err.contains("`usage.journal`"), "{}", printed.err);
}

/// Whether this user may mount a file system that only a process of theirs sees.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-Urm", "true"]).output();
    tried.is_ok_and(|tried| tried.status.success())
}

#[test]
fn with_the_disk_full_and_the_store_away_requests_are_refused_before_they_are_forwarded() {
    const MORE: usize = 300;
    if !may_mount() {
        return skipped("unshare that may mount", "util-linux");
    }
    let Some(store) = TestStore::own_postgres() else { return };
    let origin = Origin::start();
    let setup = TestGateway::with(store).config(CONFIG).config("[server]\nworkers = 1");
    let (installation, store) = setup.upstream("api", &origin).install();
    installation.run(&["migrate"]);
    // Room for one segment and not for two.
    let (installation, store) = (Arc::new(installation), Arc::new(store));
    let gateway = TestGateway::on_small_disk("5m", installation, store);
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
    gateway.wait_for_log("the usage journal has no more room");
    until_booked(&gateway, 1);
    gateway.store().server().stop();
    let answers = send_all(gateway.address(), 8, SEGMENT - 1 + MORE, |_| get("/a", key.secret()));
    let expected = BTreeMap::from([(200, SEGMENT as u64 - 1), (503, MORE as u64)]);
    assert_eq!(tally(&answers), expected);
    let refused = answers.iter().find(|answer| answer.status == 503).expect("there are some");
    refused.is_refusal(503, "unavailable", "Temporarily unavailable");
    assert_eq!(origin.count(), SEGMENT, "what was refused did not go to the upstream");
    let metrics = gateway.metrics();
    assert_eq!(metrics.total("keygate_usage_refused_total"), MORE as u64);
    assert_eq!(metrics.total("keygate_usage_waiting"), SEGMENT as u64 - 1);
    // It heals by itself: what is booked gives its room back.
    gateway.store().server().start();
    until("requests pass", || gateway.curl("/a").bearer(&key).send().status == 200);
    gateway.wait_for_log("the usage journal has room again");
    until_booked(&gateway, SEGMENT as u64 + 1);
}

fn until_booked(gateway: &TestGateway, least: u64) {
    until("so much is booked", || gateway.metrics().total("keygate_usage_booked_total") >= least);
}
