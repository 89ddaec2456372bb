//! Heads and bodies that two readers could read differently: refused, closed, and never forwarded.

use super::open;
use crate::support::{Origin, TestGateway, Wire, wire};

/// Fields that make a head ambiguous or malformed, beside a good Host.
const WRONG_FIELDS: &[&str] = &[
    "Content-Length: 5\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\r\nContent-Length: 5",
    "Content-Length: 5\r\nContent-Length: 6",
    "Content-Length: 5\r\nContent-Length: 5",
    "Content-Length: 5, 5",
    "Content-Length: +5",
    "Content-Length: -5",
    "Content-Length: 0x5",
    "Content-Length: 5 5",
    "Content-Length:",
    "Content-Length: 99999999999999999999999",
    "Transfer-Encoding: chunked, chunked",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: gzip",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding:",
    "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    "Host: b",
    "Folded: a\r\n b",
    "Folded: a\r\n\tb",
    " Leading: a",
    "Space Within: a",
    "No-Colon",
    ": no name",
    "Null: a\0b",
    "Return: a\rb",
    "Bare: a\nFeed: b",
    "Bad\x7f: a",
];

/// Whole heads that are wrong in another way.
const WRONG_HEADS: &[&str] = &[
    "GET /a HTTP/1.1\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost:\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a/..\r\n\r\n",
    "GET /a HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "GET /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a  HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET\t/a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.2\r\nHost: a\r\n\r\n",
    "GET /a HTTP/9.9\r\nHost: a\r\n\r\n",
    "GET /a http/1.1\r\nHost: a\r\n\r\n",
    "GET /a\r\nHost: a\r\n\r\n",
    "GE(T /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a HTTP/1.1\nHost: a\n\n",
    "\n\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    "\x16\x03\x01\x02\0\x01\0\x01\r\n\r\n",
];

/// Bodies whose chunking is broken.
const WRONG_CHUNKS: &[&str] = &[
    "x\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    "+5\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "5 \r\nhello\r\n0\r\n\r\n",
    "5\nhello\r\n0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "5\r\nhelloo\r\n0\r\n\r\n",
    "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "10000000000000005\r\nhello\r\n0\r\n\r\n",
    "\r\nhello\r\n0\r\n\r\n",
];

/// What follows each of them, and must never be taken for a request.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[track_caller]
fn is_refused_and_closed(gateway: &TestGateway, request: &str) {
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("{request}{SMUGGLED}"));
    let answer = wire.answer();
    assert_eq!(answer.status, 400, "{request:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"), "{request:?}");
    assert_eq!(answer.json()["error"]["code"], "bad_request", "{request:?}");
    assert_eq!(answer.json()["error"].as_object().map(serde_json::Map::len), Some(2));
    answer.says("connection", "close");
    assert_eq!(wire.rest(), b"", "nothing follows {request:?}");
}

#[test]
fn an_ambiguous_or_malformed_head_is_refused_and_nothing_of_it_goes_on() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    for fields in WRONG_FIELDS {
        let secret = key.secret();
        let head =
            format!("POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n{fields}\r\n\r\n");
        is_refused_and_closed(&gateway, &head);
    }
    for head in WRONG_HEADS {
        is_refused_and_closed(&gateway, head);
    }
    assert_eq!(origin.bytes(), b"");
}

#[test]
fn broken_chunking_never_makes_a_complete_request_upstream() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    for chunks in WRONG_CHUNKS {
        let secret = key.secret();
        let request = format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{chunks}"
        );
        is_refused_and_closed(&gateway, &request);
    }
    let bytes = String::from_utf8_lossy(&origin.bytes()).into_owned();
    assert!(!bytes.contains("\r\n0\r\n\r\n"), "a body was completed: {bytes}");
    assert!(!bytes.contains("smuggled"), "{bytes}");
}

#[test]
fn what_follows_the_unread_body_of_a_refused_request_is_never_a_request() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let smuggled =
        format!("GET /smuggled HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", key.secret());
    let length = smuggled.len();
    for request in [
        // 401, 404 and 405 with a body that is a request.
        format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}"),
        format!(
            "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             {length:x}\r\n{smuggled}\r\n0\r\n\r\n{smuggled}"
        ),
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}{smuggled}"
        ),
        format!("TRACE /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{smuggled}"),
    ] {
        let mut wire = Wire::connect(gateway.address());
        wire.send(request);
        assert!(wire.answer().status >= 400);
        assert_eq!(wire.rest(), b"", "nothing follows");
    }
    assert_eq!(origin.bytes(), b"");
}

#[test]
fn a_client_that_goes_on_sending_still_sees_why_it_was_refused() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
    for _ in 0..50 {
        // The gateway may have closed by then; the answer is what counts.
        let _ = wire.try_send([b'x'; 1_000]);
    }
    assert_eq!(wire.answer().status, 401);
    assert_eq!(wire.rest(), b"");
}

#[test]
fn requests_that_come_in_one_go_are_answered_in_their_order() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let secret = key.secret();
    let first = format!(
        "POST /1 HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\nContent-Length: 5\r\n\r\nhello"
    );
    let second = format!("GET /2 HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n\r\n");
    let third = "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!("{first}{second}{third}"));
    let statuses = [wire.answer().status, wire.answer().status, wire.answer().status];
    assert_eq!(statuses, [200, 200, 401]);
    assert_eq!(wire.rest(), b"");
    let targets: Vec<String> = origin.received().into_iter().map(|r| r.target).collect();
    assert_eq!(targets, ["/1", "/2"]);
    assert_eq!(origin.received()[0].body, b"hello");
}

#[test]
fn a_head_may_come_byte_by_byte() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    for byte in crate::support::load::get("/a", key.secret()) {
        wire.send([byte]);
    }
    assert_eq!(wire.answer().status, 200);
}

#[test]
fn a_head_that_is_too_large_is_431_and_closed() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let long = "x".repeat(40_000);
    let many = "A: b\r\n".repeat(200);
    for head in [
        format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\nLong: {long}\r\n\r\n"),
        format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"),
        // Its end never comes.
        format!("GET / HTTP/1.1\r\nHost: a\r\nLong: {long}"),
    ] {
        let answer = wire::ask(gateway.address(), head);
        answer.is_refusal(431, "headers_too_large", "Request headers too large");
        answer.says("connection", "close");
    }
}

#[test]
fn a_head_that_does_not_come_to_its_end_in_time_is_given_up() {
    let origin = Origin::start();
    let gateway = TestGateway::with(crate::support::TestStore::sqlite())
        .config(super::OPEN)
        .config("[server]\nheader_timeout = \"300ms\"\nidle_timeout = \"300ms\"")
        .upstream("api", &origin)
        .start();
    for begun in ["", "GET /a HTTP/1.1\r\nHost: a\r\n"] {
        let answer = wire::raw(gateway.address(), begun);
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    }
    let mut idle = Wire::connect(gateway.address());
    idle.send("GET /nowhere HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(idle.answer().status, 401);
    assert_eq!(idle.rest(), b"");
}
