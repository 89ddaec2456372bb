//! The listener in clear beside TLS: 308 or 403, and a word about every key that came so.

use super::setup;
use crate::support::curl::Curl;
use crate::support::tls::Authority;
use crate::support::{Origin, TestGateway, wire};

fn gateway(origin: &Origin, authority: &Authority) -> TestGateway {
    authority.issue("api", &["api.example"]);
    let config = authority.config(&["api"], "");
    setup(origin).config(&config).config("[server]\nredirect_http = \"127.0.0.1:0\"").start()
}

#[test]
fn everybody_is_sent_to_https_with_the_same_target() {
    let (origin, authority) = (Origin::start(), Authority::new("ca"));
    let gateway = gateway(&origin, &authority);
    let (port, clear) = (gateway.address().port(), gateway.redirect_address());
    for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "TRACE"] {
        let call = Curl::new(clear, "/a/../b?c=%2F").method(method).header("Host: api.example:80");
        let answer = call.send();
        assert_eq!(answer.status, 308, "{method}");
        answer.says("location", &format!("https://api.example:{port}/a/../b?c=%2F"));
        answer.says("connection", "close");
        assert_eq!(answer.body, b"");
    }
    let body = "x".repeat(100_000);
    let upload = Curl::new(clear, "/a").header("Host: api.example").body(&body).send();
    assert_eq!(upload.status, 308);
    assert_eq!(origin.count(), 0);
    let line = gateway.access_line(upload.header("x-request-id").expect("an id"));
    assert_eq!((&line["status"], &line["route"]), (&308.into(), &serde_json::Value::Null));
}

#[test]
fn what_cannot_be_sent_there_is_forbidden_and_nothing_else() {
    let (origin, authority) = (Origin::start(), Authority::new("ca"));
    let gateway = gateway(&origin, &authority);
    for request in [
        "GET /a HTTP/1.1\r\n\r\n",
        "GET /a HTTP/1.0\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "nonsense\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let answer = wire::ask(gateway.redirect_address(), request);
        answer.is_refusal(403, "forbidden", "Use https");
        answer.says("connection", "close");
    }
    assert!(gateway.metrics().matching("keygate_refusals_total", &["https_required"]) == 7);
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nA: {}\r\n\r\n", "x".repeat(40_000));
    assert_eq!(wire::ask(gateway.redirect_address(), long).status, 403);
}

#[test]
fn a_key_in_clear_is_reported_by_its_public_id() {
    let (origin, authority) = (Origin::start(), Authority::new("ca"));
    let gateway = gateway(&origin, &authority);
    let key = gateway.key("--name a");
    let clear = gateway.redirect_address();
    let exposed = || gateway.metrics().total("keygate_keys_exposed_total");
    assert_eq!(Curl::new(clear, "/a").header("X-API-Key: nothing of a key").send().status, 308);
    assert_eq!(exposed(), 0);
    assert_eq!(Curl::new(clear, "/a").bearer(&key).send().status, 308);
    assert_eq!(exposed(), 1);
    let hint = key.json["secrets"][0]["hint"].as_str().expect("a hint");
    let public_id = &hint[hint.len() - 8..];
    gateway.wait_for_log(&format!("\"public_id\":\"{public_id}\""));
    assert_eq!(Curl::new(clear, &format!("/a?key={}", key.secret())).send().status, 308);
    assert_eq!(exposed(), 2);
}
