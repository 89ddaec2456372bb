//! Bodies on their way: nothing is held back, in either direction.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use super::open;
use crate::support::{Origin, PATIENCE, Wire};

/// An origin that answers in pieces, each sent when the test says so; it ends when the test does.
fn told(pieces: Receiver<&'static str>, content_type: &'static str) -> Origin {
    let pieces = Mutex::new(pieces);
    Origin::scripted(move |call| {
        let pieces = pieces.lock().expect("no script panics");
        call.begin_answer(200, &[("content-type", content_type)])?;
        for piece in pieces.iter() {
            call.piece(piece.as_bytes())?;
        }
        call.end_answer()
    })
}

#[test]
fn each_piece_of_an_answer_arrives_before_the_next_is_sent() {
    for content_type in ["application/octet-stream", "text/event-stream"] {
        let (say, pieces) = channel();
        let origin = told(pieces, content_type);
        let gateway = open(&origin);
        let key = gateway.key("--name a");
        let mut wire = Wire::connect(gateway.address());
        wire.send(crate::support::load::get("/a", key.secret()));
        let (answer, mut framing) = wire.answer_head();
        assert_eq!(answer.status, 200);
        answer.says("content-type", content_type);
        for piece in ["data: one\n\n", "data: two\n\n", "data: three\n\n"] {
            say.send(piece).expect("the origin listens");
            let got = wire.piece(&mut framing).expect("a piece comes").expect("the body goes on");
            assert_eq!(String::from_utf8_lossy(&got), piece);
        }
        drop(say);
        assert_eq!(wire.piece(&mut framing).expect("the body ends well"), None);
    }
}

#[test]
fn each_piece_of_a_request_arrives_before_the_next_is_sent() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        key.secret()
    ));
    for length in 1..=3 {
        wire.send("5\r\nhello\r\n");
        let is_there = |body: &[u8]| body == "hello".repeat(length).as_bytes();
        origin.wait_for("the piece", |received| received.iter().any(|r| is_there(&r.body)));
    }
    wire.send("0\r\n\r\n");
    assert_eq!(wire.answer().status, 200);
}

#[test]
fn an_answer_that_breaks_off_upstream_breaks_off_for_the_client() {
    let origin = Origin::scripted(|call| {
        call.begin_answer(200, &[])?;
        call.piece(b"half")?;
        Err(std::io::ErrorKind::Other.into())
    });
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(crate::support::load::get("/a", key.secret()));
    let bytes = String::from_utf8_lossy(&wire.rest()).into_owned();
    assert!(bytes.contains("half") && !bytes.ends_with("0\r\n\r\n"), "{bytes:?}");
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let origin = Origin::scripted(|call| call.answer(409, &[], b"enough"));
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nContent-Length: 1000000\r\n\r\nbegun",
        key.secret()
    ));
    let answer = wire.answer();
    assert_eq!((answer.status, answer.text().as_str()), (409, "enough"));
}

#[test]
fn a_client_that_leaves_ends_its_request_upstream() {
    let (left, is_gone) = channel();
    let left = Mutex::new(left);
    let origin = Origin::scripted(move |call| {
        call.begin_answer(200, &[])?;
        loop {
            if let Err(error) = call.piece(&[b'x'; 16 * 1024]) {
                left.lock().expect("no script panics").send(()).expect("the test waits");
                return Err(error);
            }
        }
    });
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(crate::support::load::get("/a", key.secret()));
    assert_eq!(wire.answer_head().0.status, 200);
    drop(wire);
    is_gone.recv_timeout(PATIENCE).expect("the upstream is told that the client has left");
}

#[test]
fn what_an_upstream_sends_faster_than_a_client_reads_waits_upstream() {
    let origin = Origin::scripted(|call| {
        call.begin_answer(200, &[])?;
        for _ in 0..4_096 {
            call.piece(&[b'x'; 16 * 1024])?;
        }
        call.end_answer()
    });
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(crate::support::load::get("/a", key.secret()));
    let (_, mut framing) = wire.answer_head();
    let mut length = 0;
    while let Some(piece) = wire.piece(&mut framing).expect("a piece comes") {
        length += piece.len();
    }
    assert_eq!(length, 4_096 * 16 * 1024);
    assert!(gateway.peak_memory_kib() < 200 * 1024, "64 MiB were not held");
}
