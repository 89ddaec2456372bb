//! Bytes as no library would send them: heads and bodies that two readers could read differently
//! are refused, the connection is closed, and nothing of them is ever a request.

mod cases;
mod closing;
mod order;

use serde_json::json;

use self::cases::{Case, Expect, GOOD};
use crate::support::{Answer, Origin, TestGateway, TestStore, Wire};

const ROUTES: &str = r#"
[server]
max_header_bytes = "32KiB"
[limits]
per_key = ["1000000/min"]
[[routes]]
path = "/open/**"
public = true
max_body = "1MiB"
upstream = "api"
[[routes]]
path = "/read"
methods = ["GET"]
public = true
upstream = "api"
[[routes]]
path = "/keyed/**"
upstream = "api"
"#;
/// Longer cases are not sent byte by byte.
const LONG: usize = 1_000;

/// A gateway with two public routes and one that wants a key.
fn gateway(origin: &Origin) -> TestGateway {
    TestGateway::with(TestStore::sqlite()).config(ROUTES).upstream("api", origin).start()
}

/// A request for that path.
fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// That an answer is a refusal as the contract has it, to the letter, and says whether it closes.
#[track_caller]
fn is_refused(answer: &Answer, status: u16, closes: bool, what: &str) {
    assert_eq!(answer.status, status, "{what}: {}", answer.text());
    let error = &answer.json()["error"];
    let message = error["message"].as_str().unwrap_or_default();
    let code = match status {
        400 => "bad_request",
        404 => "not_found",
        405 => "method_not_allowed",
        413 => "payload_too_large",
        431 => "headers_too_large",
        _ => panic!("{what}: {status}"),
    };
    assert_eq!(answer.json(), json!({"error": {"code": code, "message": message}}), "{what}");
    assert_eq!(answer.fields.all("content-type"), ["application/json"], "{what}");
    assert!(answer.header("x-request-id").is_some(), "{what}");
    assert_eq!(answer.header("connection") == Some("close"), closes, "{what}");
    let begins = if status == 400 { "Bad request: " } else { "" };
    assert!(message.len() > begins.len() && message.starts_with(begins), "{what}: {message}");
}

/// Sends a case in pieces and looks at all that comes back.
fn check(gateway: &TestGateway, case: &Case, piece: usize, behind: &str) {
    let what = format!("{} in pieces of {piece}, with {behind:?} behind it", case.name);
    let mut wire = Wire::connect(gateway.address());
    let bytes = [&case.bytes, behind.as_bytes()].concat();
    for piece in bytes.chunks(piece) {
        // A gateway that has refused it may not take all of it.
        let _ = wire.try_send(piece);
    }
    let (passed, refused) = match case.expect {
        Expect::Passed(count) => (count, None),
        Expect::Refused(status) => (0, Some((status, false))),
        Expect::Closed(status) => (0, Some((status, true))),
        Expect::PassedThenClosed(count, status) => (count, Some((status, true))),
    };
    for _ in 0..passed {
        assert_eq!(wire.answer().status, 200, "{what}");
    }
    if let Some((status, closes)) = refused {
        is_refused(&wire.answer(), status, closes, &what);
        if closes {
            assert_eq!(wire.rest(), b"", "{what}");
            return;
        }
    }
    wire.send(get("/open/after"));
    assert_eq!(wire.answer().status, 200, "{what}");
}

#[test]
fn every_case_is_answered_as_the_contract_says_and_reaches_the_upstream_as_often() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    for case in cases::all() {
        let (passed, after) = match case.expect {
            Expect::Passed(count) => (count, 1),
            Expect::Refused(_) => (0, 1),
            Expect::Closed(_) => (0, 0),
            Expect::PassedThenClosed(count, _) => (count, 0),
        };
        let behind: &[&str] = if after == 0 { &["", GOOD] } else { &[""] };
        let pieces: &[usize] =
            if case.bytes.len() < LONG { &[usize::MAX, 1] } else { &[usize::MAX] };
        for (behind, piece) in behind.iter().flat_map(|b| pieces.iter().map(move |p| (b, p))) {
            let before = origin.whole();
            check(&gateway, &case, *piece, behind);
            assert_eq!(origin.whole() - before, passed + after, "{}", case.name);
        }
    }
    let smuggled = |target: &str| target.contains("smuggled");
    assert!(!origin.received().iter().any(|request| smuggled(&request.target)));
    let metrics = gateway.metrics();
    assert_eq!(metrics.total("keygate_panics_total"), 0);
}
