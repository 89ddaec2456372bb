//! SIGTERM: not ready first, then no new connections, then what is running is finished, then exit 0.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use rustix::process::Signal;

use crate::support::{Origin, TestGateway, TestStore, Wire, load, until};

const CONFIG: &str = r#"
[scopes]
"agents:read" = "Read agent information"
[[routes]]
path = "/**"
upstream = "api"
"#;

/// An origin that answers each request when it is told to.
fn held(release: Receiver<()>) -> Origin {
    let release = Mutex::new(release);
    Origin::scripted(move |call| {
        call.read_body()?;
        // An error means that the test is over.
        let _ = release.lock().expect("no script panics").recv();
        call.answer(200, &[], b"finished")
    })
}

#[test]
fn what_is_running_is_finished_and_nothing_new_is_taken() {
    let (release, released) = channel();
    let origin = held(released);
    let mut gateway =
        TestGateway::with(TestStore::sqlite()).config(CONFIG).upstream("api", &origin).start();
    let key = gateway.key("--name a");
    let mut running = Wire::connect(gateway.address());
    running.send(load::get("/a", key.secret()));
    origin.wait_for("the request", |received| received.len() == 1);

    gateway.signal(Signal::TERM);
    until("it says that it is not ready", || gateway.admin("/readyz").status == 503);
    until("it takes no connection", || Wire::try_connect(gateway.address()).is_err());
    assert_eq!(gateway.admin("/healthz").status, 200);
    release.send(()).expect("the origin listens");
    let answer = running.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "finished"));
    assert_eq!(running.rest(), b"");
    assert_eq!(gateway.wait().code(), Some(0));
    assert!(gateway.access_log().contains("\"status\":200"), "the last lines are written");
}

#[test]
fn a_kept_connection_is_answered_once_more_and_told_that_it_was_the_last_time() {
    let origin = Origin::start();
    let mut gateway =
        TestGateway::with(TestStore::sqlite()).config(CONFIG).upstream("api", &origin).start();
    let key = gateway.key("--name a");
    let mut kept = Wire::connect(gateway.address());
    let mut call = || {
        kept.send(load::get("/a", key.secret()));
        let answer = kept.answer();
        assert_eq!(answer.status, 200);
        answer.header("connection") == Some("close")
    };
    assert!(!call());
    gateway.signal(Signal::TERM);
    until("an answer says that it is the last", call);
    assert_eq!(kept.rest(), b"");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_connection_on_which_nothing_is_asked_is_closed_soon() {
    let origin = Origin::start();
    let mut gateway = TestGateway::with(TestStore::sqlite())
        .config(CONFIG)
        .config("[server]\ndrain_timeout = \"10m\"")
        .upstream("api", &origin)
        .start();
    let mut idle = Wire::connect(gateway.address());
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.answer().status, 404);
    let mut silent = Wire::connect(gateway.address());
    let mut in_between = Wire::connect(gateway.address());
    in_between.send("GET / HTT");
    gateway.signal(Signal::TERM);
    for wire in [&mut idle, &mut silent, &mut in_between] {
        assert_eq!(wire.rest(), b"");
    }
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn what_is_not_finished_in_time_is_cut() {
    let (_release, released) = channel();
    let origin = held(released);
    let mut gateway = TestGateway::with(TestStore::sqlite())
        .config(CONFIG)
        .config("[server]\ndrain_timeout = \"500ms\"")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a");
    let mut running = Wire::connect(gateway.address());
    running.send(load::get("/a", key.secret()));
    origin.wait_for("the request", |received| received.len() == 1);
    gateway.signal(Signal::TERM);
    assert_eq!(running.rest(), b"");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn under_load_no_request_that_was_taken_fails() {
    let origin = Origin::start();
    let mut gateway = TestGateway::with(TestStore::sqlite())
        .config(CONFIG)
        .config("[limits]\nper_key = [\"100000000/min\"]")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a");
    let requests = (0..4).map(|_| load::get("/a", key.secret())).collect();
    let load = load::Load::start(gateway.address(), requests);
    load.wait_for_more(200);
    gateway.signal(Signal::TERM);
    assert_eq!(gateway.wait().code(), Some(0));
    let tally = load.stop();
    assert!(tally.keys().all(|status| [200, load::REFUSED].contains(status)), "{tally:?}");
}
