//! `Expect: 100-continue`, and answers that have no body.

use super::open;
use crate::support::{Origin, Wire};

fn head(secret: &str, expectation: &str) -> String {
    format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\nContent-Length: 4\r\n\
         Expect: {expectation}\r\n\r\n"
    )
}

#[test]
fn a_client_is_told_to_continue_once_its_request_may_pass() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    for _ in 0..2 {
        wire.send(head(key.secret(), "100-Continue"));
        assert_eq!(wire.interim(), "HTTP/1.1 100 Continue");
        wire.send("body");
        assert_eq!(wire.answer().status, 200);
        assert_eq!(origin.last().body, b"body");
        assert_eq!(origin.last().header("expect"), None);
    }
}

#[test]
fn curl_waits_and_goes_on() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let body = "x".repeat(100_000);
    let wait = ["--expect100-timeout", "25"];
    let call = gateway.curl("/a").bearer(&key).header("Expect: 100-continue").args(wait);
    assert_eq!(call.body(&body).send().status, 200);
    assert_eq!(origin.last().body.len(), body.len());
}

#[test]
fn a_refused_client_is_never_told_to_continue() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send(head("sk_live_wrong", "100-continue"));
    let answer = String::from_utf8_lossy(&wire.rest()).into_owned();
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1").count(), 1);
    assert_eq!(origin.count(), 0);
}

#[test]
fn any_other_expectation_is_417() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    for expectation in
        ["a-miracle", "100-continue, more", "", "100-continue\r\nExpect: 100-continue"]
    {
        let mut wire = Wire::connect(gateway.address());
        wire.send(head(key.secret(), expectation));
        wire.answer().is_refusal(417, "expectation_failed", "Unknown expectation");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn answers_without_a_body_leave_the_connection_in_order() {
    let origin = Origin::scripted(|call| {
        let status = call.request.target[1..].parse().expect("the path is a status");
        if status == 204 || status == 304 {
            let head = format!("HTTP/1.1 {status} Scripted\r\netag: \"a\"\r\n\r\n");
            return call.write(head.as_bytes());
        }
        // Hints may come before any answer; they are not passed on.
        call.write(b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n")?;
        call.answer(status, &[], b"hello")
    });
    let gateway = open(&origin);
    let secret = gateway.key("--name a").secret().to_owned();
    let mut wire = Wire::connect(gateway.address());
    let ask = |method: &str, status: u16| {
        format!("{method} /{status} HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n\r\n")
    };
    for _ in 0..2 {
        for status in [204, 304] {
            wire.send(ask("GET", status));
            let answer = wire.answer();
            assert_eq!(answer.status, status);
            answer.says("etag", "\"a\"").lacks("transfer-encoding");
        }
        wire.send(ask("HEAD", 200));
        let (answer, _) = wire.answer_head();
        assert_eq!(answer.status, 200);
        answer.says("content-length", "5");
        wire.send(ask("GET", 200));
        assert_eq!(wire.answer().text(), "hello");
    }
}
