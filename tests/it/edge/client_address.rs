//! Whose address a request counts as, and what the upstream is told of its way.

use super::setup;
use crate::support::{Origin, TestGateway};

/// Believes whoever connects to it here.
const BELIEVING: &str = "[server]\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]";

fn believing(origin: &Origin) -> TestGateway {
    setup(origin).config(BELIEVING).start()
}

#[test]
fn nobody_is_believed_unless_the_operator_says_so() {
    let origin = Origin::start();
    let gateway = setup(&origin).start();
    let key = gateway.key("--name a --allow-ip 203.0.113.9");
    let call = gateway.curl("/a").bearer(&key).header("X-Forwarded-For: 203.0.113.9");
    let call = call.header("Forwarded: for=203.0.113.9").header("X-Request-Id: spoofed");
    call.send().is_refusal(403, "forbidden", "API key is not allowed from this address");
    assert_eq!(gateway.access_line("spoofed")["client"], "127.0.0.1");

    let key = gateway.key("--name b --allow-ip 127.0.0.1");
    let call = gateway.curl("/a").bearer(&key).header("X-Forwarded-For: 203.0.113.9");
    let call = call.header("X-Forwarded-Proto: https").header("X-Forwarded-Host: theirs");
    let call = call.header("Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    assert_eq!(call.send().status, 200);
    let request = origin.last();
    assert_eq!(request.fields.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.fields.all("x-forwarded-proto"), ["http"]);
    assert_eq!(request.fields.all("x-forwarded-host"), [gateway.address().to_string()]);
    assert!(!request.header("traceparent").is_some_and(|trace| trace.contains("4bf92f")));
}

#[test]
fn a_trusted_proxys_word_is_read_from_the_right() {
    let origin = Origin::start();
    let gateway = believing(&origin);
    let key = gateway.key("--name a --allow-ip 203.0.113.9");
    for (field, way) in [
        ("X-Forwarded-For: 203.0.113.9", "203.0.113.9, 127.0.0.1"),
        (
            "X-Forwarded-For: 192.0.2.1, 203.0.113.9, 10.0.0.7",
            "192.0.2.1, 203.0.113.9, 10.0.0.7, 127.0.0.1",
        ),
        ("X-Forwarded-For: ::ffff:203.0.113.9", "::ffff:203.0.113.9, 127.0.0.1"),
        ("Forwarded: for=192.0.2.1, for=\"203.0.113.9:80\";proto=https", "203.0.113.9, 127.0.0.1"),
    ] {
        let answer = gateway.curl("/a").bearer(&key).header(field).send();
        assert_eq!(answer.status, 200, "{field}");
        assert_eq!(origin.last().fields.all("x-forwarded-for"), [way], "{field}");
        origin.last().header("forwarded").inspect(|forwarded| panic!("{forwarded} went on"));
        let line = gateway.access_line(answer.header("x-request-id").expect("an id"));
        assert_eq!(line["client"], "203.0.113.9", "{field}");
    }
    for field in [
        "X-Forwarded-For: 203.0.113.9, 192.0.2.1",
        "X-Forwarded-For: 203.0.113.9, unknown",
        "Forwarded: for=203.0.113.9, for=192.0.2.1",
        "X-Real-IP: 203.0.113.9",
    ] {
        assert_eq!(gateway.curl("/a").bearer(&key).header(field).send().status, 403, "{field}");
    }
    let broken = gateway.curl("/a").bearer(&key).header("Forwarded: for=\"203.0.113.9");
    assert_eq!(broken.send().status, 400);
}

#[test]
fn what_a_trusted_proxy_says_of_the_request_is_kept() {
    let origin = Origin::start();
    let gateway = believing(&origin);
    let key = gateway.key("--name a");
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let call = gateway.curl("/a").bearer(&key).header("X-Forwarded-For: 203.0.113.9");
    let call = call.header("X-Forwarded-Proto: https").header("X-Forwarded-Host: api.example");
    let call = call.header(&format!("traceparent: {trace}")).header("tracestate: a=1");
    assert_eq!(call.send().status, 200);
    let request = origin.last();
    assert_eq!(request.fields.all("x-forwarded-proto"), ["https"]);
    assert_eq!(request.fields.all("x-forwarded-host"), ["api.example"]);
    assert_eq!(request.fields.all("traceparent"), [trace]);
    assert_eq!(request.fields.all("tracestate"), ["a=1"]);
}

#[test]
fn guesses_count_against_the_client_and_not_its_proxy() {
    let origin = Origin::start();
    let gateway =
        setup(&origin).config(BELIEVING).config("[limits]\nfailed_auth_per_ip = \"3/min\"").start();
    let guess = |client: &str| {
        let call = gateway.curl("/a").header("X-API-Key: guess");
        call.header(&format!("X-Forwarded-For: {client}")).send().status
    };
    let answers: Vec<u16> = (0..4).map(|_| guess("203.0.113.9")).collect();
    assert_eq!(answers, [401, 401, 401, 429]);
    assert_eq!(guess("203.0.113.10"), 401);
}
