//! Several requests in one go: each answered in its turn, none behind one that was refused.

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use super::cases::GOOD;
use super::{gateway, get, is_refused};
use crate::support::{Origin, Wire, load};

/// An origin that answers `/open/slow` when it is told to, and everything else at once.
fn slow() -> (Origin, Sender<()>) {
    let (say, told) = channel();
    let told = Mutex::new(told);
    let origin = Origin::scripted(move |call| {
        call.read_body()?;
        if call.request.target == "/open/slow" {
            let told = told.lock().expect("no script panics");
            told.recv().expect("the test says when");
        }
        call.answer(200, &[], b"answered")
    });
    (origin, say)
}

#[test]
fn requests_that_come_in_one_go_are_answered_in_their_order() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    let secret = key.secret();
    let first = format!(
        "POST /keyed/1 HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\nContent-Length: 5\r\n\r\nhello"
    );
    let second = format!("GET /keyed/2 HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n\r\n");
    let third = "GET /keyed/3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("{first}{second}{third}"));
    let statuses = [wire.answer().status, wire.answer().status, wire.answer().status];
    assert_eq!(statuses, [200, 200, 401]);
    assert_eq!(wire.rest(), b"");
    let targets: Vec<String> = origin.received().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/keyed/1", "/keyed/2"]);
    assert_eq!(origin.received()[0].body, b"hello");
}

#[test]
fn a_slow_answer_comes_whole_before_the_refusal_of_what_is_behind_it() {
    let (origin, say) = slow();
    let gateway = gateway(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("{}GET /open/a HTTP/1.1\r\n\r\n{GOOD}", get("/open/slow")));
    origin.wait_for("the slow request", |received| received.len() == 1);
    // What comes while the answer is awaited is no request either.
    wire.send("x".repeat(30_000));
    say.send(()).expect("the origin listens");
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str()), (200, "answered"));
    is_refused(&wire.answer(), 400, true, "a head without a Host");
    assert_eq!(wire.rest(), b"");
    assert_eq!(origin.count(), 1);
}

#[test]
fn what_follows_the_unread_body_of_a_refused_request_is_never_a_request() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    let smuggled = load::get("/keyed/smuggled", key.secret());
    let smuggled = String::from_utf8(smuggled).expect("a request is text");
    let length = smuggled.len();
    for request in [
        // 401, 404 and 405 with a body that is a request.
        format!("POST /keyed/a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}"),
        format!(
            "POST /keyed/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             {length:x}\r\n{smuggled}\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}{smuggled}"
        ),
        format!("TRACE /keyed/a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}"),
        // One that waits to be told to go on, and is not.
        format!(
            "POST /keyed/a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\
             Content-Length: {length}\r\n\r\n{smuggled}"
        ),
    ] {
        let mut wire = Wire::connect(gateway.address());
        wire.send(&request);
        assert!(wire.answer().status >= 400, "{request}");
        assert_eq!(wire.rest(), b"", "nothing follows {request}");
    }
    assert_eq!(origin.bytes(), b"");
}

#[test]
fn a_body_that_breaks_behind_its_early_answer_ends_the_connection() {
    let origin = Origin::scripted(|call| call.answer(200, &[], b"early"));
    let gateway = gateway(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
    assert_eq!(wire.answer().status, 200);
    wire.send(format!("x\r\n\r\n0\r\n\r\n{GOOD}"));
    assert_eq!(wire.rest(), b"");
    assert_eq!(origin.count(), 1);
}
