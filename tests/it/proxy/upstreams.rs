//! Upstreams that are away, late, too few, or a sandbox; and bodies that are too long for them.

use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use super::{OPEN, open};
use crate::support::{Origin, TestGateway, TestStore, Wire, wire};

/// An address where nobody listens.
pub(super) fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a listener has an address")
}

/// A gateway whose one upstream has these targets and settings.
pub(super) fn to(targets: &str, settings: &str) -> TestGateway {
    TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config(&format!("[upstreams.api]\ntargets = [{targets}]\n{settings}"))
        .start()
}

#[test]
fn an_upstream_that_is_away_is_502() {
    let gateway = to(&format!("\"http://{}\"", nobody()), "");
    let key = gateway.key("--name a");
    let answer = gateway.curl("/a").bearer(&key).send();
    answer.is_refusal(502, "bad_gateway", "Upstream unavailable");
}

#[test]
fn an_upstream_that_breaks_off_before_its_answer_is_502() {
    let origin = Origin::scripted(|_| Err(std::io::ErrorKind::Other.into()));
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let answer = gateway.curl("/a").method("POST").body("{}").bearer(&key).send();
    answer.is_refusal(502, "bad_gateway", "Upstream unavailable");
    assert_eq!(origin.count(), 1, "what may have been done is not asked for again");
}

/// Sends a body of so many pieces, one every tenth of a second, to a route whose time is 300 ms.
fn uploaded(piece: usize, pieces: usize) -> u16 {
    let origin = Origin::start();
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config("[upstreams.api]\ntimeout = \"300ms\"")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    let (secret, length) = (key.secret(), piece * pieces);
    let head = format!("POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n");
    wire.send(format!("{head}Content-Length: {length}\r\n\r\n"));
    let (_clock, ticks) = mpsc::channel::<()>();
    for _ in 0..pieces {
        // Cut off already, where it is one that is cut off.
        if wire.try_send(vec![b'x'; piece]).is_err() {
            break;
        }
        assert_eq!(ticks.recv_timeout(Duration::from_millis(100)), Err(RecvTimeoutError::Timeout));
    }
    wire.answer().status
}

#[test]
fn an_upload_may_take_longer_than_the_upstream_but_no_trickle_holds_it() {
    assert_eq!(uploaded(100, 12), 200, "1,000 bytes a second");
    assert_eq!(uploaded(1, 12), 504, "10 bytes a second");
}

#[test]
fn an_upstream_that_is_late_is_504() {
    let origin = Origin::silent();
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config("[upstreams.api]\ntimeout = \"300ms\"")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a");
    let answer = gateway.curl("/a").bearer(&key).send();
    answer.is_refusal(504, "gateway_timeout", "Upstream timed out");
}

#[test]
fn a_request_that_no_connection_took_goes_to_the_next_target() {
    let origin = Origin::start();
    let targets = format!("\"http://{}\", \"http://{}\"", nobody(), origin.address());
    let gateway = to(&targets, "retries = 1");
    let key = gateway.key("--name a");
    for _ in 0..6 {
        let answer = gateway.curl("/a").method("POST").body("{}").bearer(&key).send();
        assert_eq!(answer.status, 200);
    }
    assert_eq!(origin.count(), 6);
}

#[test]
fn test_keys_go_to_the_sandbox_where_there_is_one_and_only_where_they_may() {
    let (api, sandbox) = (Origin::start(), Origin::start());
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config(
            "[[routes]]\npath = \"/**\"\nupstream = \"api\"\n\
            [[routes]]\npath = \"/live\"\nupstream = \"api\"\nallow_test_keys = false\n\
            [[routes]]\npath = \"/other\"\nupstream = \"other\"",
        )
        .upstream("api", &api)
        .sandbox("api", &sandbox)
        .upstream("other", &api)
        .start();
    let (live, test) = (gateway.key("--name live"), gateway.key("--name test --test"));
    gateway.curl("/a").bearer(&live).send();
    assert_eq!((api.count(), sandbox.count()), (1, 0));
    gateway.curl("/a").bearer(&test).send();
    assert_eq!((api.count(), sandbox.count()), (1, 1));
    assert_eq!(sandbox.last().header("x-auth-env"), Some("test"));
    gateway.curl("/other").bearer(&test).send();
    assert_eq!((api.count(), sandbox.count()), (2, 1));
    assert_eq!(api.last().header("x-auth-env"), Some("test"));
    let refused = gateway.curl("/live").bearer(&test).send();
    refused.is_refusal(403, "forbidden", "Test keys are not allowed here");
    assert_eq!(gateway.curl("/live").bearer(&live).send().status, 200);
}

#[test]
fn a_body_longer_than_the_route_takes_is_413_and_its_connection_ends() {
    let origin = Origin::start();
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config("[[routes]]\npath = \"/a\"\nupstream = \"api\"\nmax_body = \"1KiB\"")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a");
    let head = format!("POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n", key.secret());
    let framed = |body: usize| {
        let length = format!("{head}Content-Length: {body}\r\n\r\n{}", "x".repeat(body));
        let chunk = "x".repeat(body);
        let chunked = format!("{head}Transfer-Encoding: chunked\r\n\r\n{body:x}\r\n{chunk}\r\n");
        [length, format!("{chunked}0\r\n\r\n")]
    };
    for request in framed(1_024) {
        assert_eq!(wire::ask(gateway.address(), request).status, 200);
    }
    for request in framed(1_025) {
        let next = format!("{request}GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        let mut wire = Wire::connect(gateway.address());
        wire.send(next);
        let answer = wire.answer();
        answer.is_refusal(413, "payload_too_large", "Request body too large");
        assert_eq!(wire.rest(), b"", "nothing follows");
    }
    let whole = origin.received().iter().filter(|request| request.body.len() > 1_024).count();
    assert_eq!(whole, 0, "no longer body reached the upstream");
}
