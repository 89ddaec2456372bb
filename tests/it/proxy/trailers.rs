//! What comes behind a body, in either direction.

use super::{OPEN, open};
use crate::support::{Origin, TestGateway, TestStore, Wire};

/// An upload with these trailers, all of them announced, and the key as a header.
fn upload(secret: &str, trailers: &[(&str, &str)]) -> String {
    let names: Vec<&str> = trailers.iter().map(|(name, _)| *name).collect();
    let lines: Vec<String> = trailers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
    format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\nConnection: X-Hop\r\n\
         Trailer: {}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{}\r\n",
        names.join(", "),
        lines.concat()
    )
}

fn forwarding(origin: &Origin, more: &str) -> TestGateway {
    let routes =
        format!("[[routes]]\npath = \"/**\"\nupstream = \"api\"\nforward_trailers = true\n{more}");
    let setup = TestGateway::with(TestStore::sqlite()).config(OPEN).config(&routes);
    setup
        .config("[upstreams.api]\nset_headers = { x-token = \"ours\" }")
        .upstream("api", origin)
        .start()
}

/// Sends an upload; the lines that the upstream got behind the last chunk, in no order.
fn got(gateway: &TestGateway, origin: &Origin, trailers: &[(&str, &str)]) -> Vec<String> {
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(upload(key.secret(), trailers));
    assert_eq!(wire.answer().status, 200);
    assert_eq!(origin.last().body, b"hi");
    let bytes = String::from_utf8_lossy(&origin.bytes()).into_owned();
    let (_, behind) = bytes.rsplit_once("\r\n0\r\n").expect("the body is chunked");
    let lines = behind.strip_suffix("\r\n").expect("an empty line ends the body");
    let mut lines: Vec<String> = lines.lines().map(str::to_ascii_lowercase).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn request_trailers_are_dropped_unless_the_route_lets_them_through() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let trailers = [("X-Sum", "1"), ("X-Auth-Key-Id", "forged")];
    assert!(got(&gateway, &origin, &trailers).is_empty());
    assert_eq!(origin.last().header("trailer"), None);
}

#[test]
fn trailers_that_are_let_through_are_filtered_like_headers() {
    let origin = Origin::start();
    let gateway = forwarding(&origin, "underscore_headers = true");
    let forged = [
        "Content-Length",
        "Transfer-Encoding",
        "Transfer_Encoding",
        "Host",
        "Connection",
        "TE",
        "Trailer",
        "Authorization",
        "X-API-Key",
        "x_api_key",
        "X-Auth-Key-Id",
        "x_auth_key_id",
        "X-Auth_Owner",
        "X-Forwarded-For",
        "X_Forwarded_For",
        "Forwarded",
        "X-Request-Id",
        "X-HTTP-Method-Override",
        "x_http_method_override",
        "Traceparent",
        "X-Token",
        "x_token",
        "Cookie",
        "Content-Type",
        "X-Hop",
    ];
    let mut trailers: Vec<(&str, &str)> = forged.iter().map(|name| (*name, "7")).collect();
    trailers.push(("X-Sum", "1"));
    trailers.push(("under_score", "2"));
    assert_eq!(got(&gateway, &origin, &trailers), ["under_score: 2", "x-sum: 1"]);
    assert_eq!(origin.last().header("trailer"), Some("x-sum, under_score"));
}

#[test]
fn an_underscore_in_a_trailer_needs_its_own_leave() {
    let origin = Origin::start();
    let gateway = forwarding(&origin, "");
    assert_eq!(got(&gateway, &origin, &[("a_b", "1"), ("X-Sum", "1")]), ["x-sum: 1"]);
}

#[test]
fn trailers_of_an_answer_reach_a_client_that_reads_them() {
    let origin = Origin::scripted(|call| {
        call.begin_answer(200, &[("trailer", "X-Sum, X-Request-Id")])?;
        call.piece(b"hello")?;
        call.write(b"0\r\nX-Sum: 1\r\nX-Request-Id: forged\r\n\r\n")
    });
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config("[server]\nworkers = 1")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a");
    let asked = |fields: &str| {
        let mut wire = Wire::connect(gateway.address());
        let secret = key.secret();
        wire.send(format!("GET /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n{fields}\r\n"));
        String::from_utf8_lossy(&wire.rest()).to_ascii_lowercase()
    };
    let answer = asked("TE: trailers\r\nConnection: TE, close\r\n");
    assert!(answer.contains("\r\ntrailer: x-sum\r\n"), "{answer}");
    assert!(answer.ends_with("5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"), "{answer}");
    assert_eq!(origin.last().header("te"), Some("trailers"));
    let answer = asked("Connection: close\r\n");
    assert!(answer.ends_with("5\r\nhello\r\n0\r\n\r\n"), "{answer}");
    assert_eq!(origin.last().header("te"), None);
    assert_eq!(origin.connections(), 1, "a connection is kept behind trailers");
}
