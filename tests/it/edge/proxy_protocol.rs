//! PROXY v1 and v2 of trusted proxies, and of nobody else.

use super::setup;
use crate::support::{MintedKey, Origin, TestGateway, Wire, until};

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\xc0\0\x02\x01\xdc\x04\x01\xbb";

fn listening(origin: &Origin, trusted: &str) -> TestGateway {
    let config = format!(
        "[server]\nproxy_protocol = true\nheader_timeout = \"1s\"\ntrusted_proxies = [\"{trusted}\"]"
    );
    setup(origin).config(&config).start()
}

fn request(key: &MintedKey, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", key.secret()).into_bytes()
}

#[test]
fn a_trusted_proxy_says_who_connects() {
    let origin = Origin::start();
    let gateway = listening(&origin, "127.0.0.1");
    let key = gateway.key("--name a --allow-ip 203.0.113.9");
    for header in [
        b"PROXY TCP4 203.0.113.9 192.0.2.1 56324 443\r\n" as &[u8],
        b"PROXY TCP6 ::ffff:203.0.113.9 ::ffff:192.0.2.1 56324 443\r\n",
        V2,
    ] {
        for piece in [1, header.len(), usize::MAX] {
            let bytes = [header, &request(&key, "/a")].concat();
            let mut wire = Wire::connect(gateway.address());
            bytes.chunks(piece.min(bytes.len())).for_each(|piece| wire.send(piece));
            assert_eq!(wire.answer().status, 200);
            assert_eq!(origin.last().fields.all("x-forwarded-for"), ["203.0.113.9"]);
            // It holds for the whole connection.
            wire.send(request(&key, "/b"));
            assert_eq!(wire.answer().status, 200);
        }
    }
    let curl = gateway.curl("/a").api_key(&key).args(["--haproxy-protocol"]).send();
    assert_eq!(curl.status, 403, "curl names its own address");
}

#[test]
fn a_proxy_that_speaks_for_itself_is_the_client() {
    let origin = Origin::start();
    let gateway = listening(&origin, "127.0.0.1");
    let key = gateway.key("--name a --allow-ip 127.0.0.1");
    for header in [b"PROXY UNKNOWN\r\n" as &[u8], b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
        let mut wire = Wire::connect(gateway.address());
        wire.send([header, &request(&key, "/a")].concat());
        assert_eq!(wire.answer().status, 200);
    }
}

#[test]
fn a_trusted_proxy_must_say_it_and_at_once() {
    let origin = Origin::start();
    let gateway = listening(&origin, "127.0.0.1");
    let key = gateway.key("--name a");
    for bytes in [
        &request(&key, "/a")[..],
        b"PROXY TCP4 nonsense\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"PROXY TCP4 203.0.113.9",
        b"",
    ] {
        let mut wire = Wire::connect(gateway.address());
        wire.send(bytes);
        assert_eq!(wire.rest(), b"", "cut off without an answer");
    }
    assert_eq!(origin.count(), 0);
    until("all four are counted", || {
        gateway.metrics().total("keygate_connections_not_begun_total") == 4
    });
}

#[test]
fn nobody_else_can_say_it() {
    let origin = Origin::start();
    let gateway = listening(&origin, "192.0.2.0/24");
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    wire.send(request(&key, "/a"));
    assert_eq!(wire.answer().status, 200, "an ordinary client");
    assert_eq!(origin.last().fields.all("x-forwarded-for"), ["127.0.0.1"]);
    let mut wire = Wire::connect(gateway.address());
    wire.send([b"PROXY TCP4 203.0.113.9 192.0.2.1 1 2\r\n", &request(&key, "/b")[..]].concat());
    assert_eq!(wire.answer().status, 400);
    assert_eq!(origin.count(), 1);
}

#[test]
fn whom_a_proxy_names_is_believed_about_others_only_if_it_is_trusted_too() {
    let origin = Origin::start();
    let gateway = listening(&origin, "127.0.0.1");
    let key = gateway.key("--name a --allow-ip 192.0.2.77");
    for (source, status) in [("127.0.0.1", 200), ("203.0.113.9", 403)] {
        let mut wire = Wire::connect(gateway.address());
        let secret = key.secret();
        wire.send(format!(
            "PROXY TCP4 {source} 192.0.2.1 1 2\r\nGET /a HTTP/1.1\r\nHost: a\r\n\
             X-API-Key: {secret}\r\nX-Forwarded-For: 192.0.2.77\r\n\r\n"
        ));
        assert_eq!(wire.answer().status, status, "{source}");
    }
}
