//! What a gRPC client reads of a refusal: its status and message, never a body.

use super::client::whole;
use super::{Client, open, open_with, with};
use crate::support::{Origin, block_on};

const GRPC: (&str, &str) = ("content-type", "application/grpc+proto");

#[test]
fn a_refused_call_is_answered_with_its_status_in_one_head() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    let secret = key.secret();
    let invalid_key = "Invalid or missing API key";
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        for (path, fields, status, message) in [
            ("/a.Service/Call", vec![], "16", invalid_key),
            ("/a", vec![("authorization", "Bearer sk_live_wrong")], "16", invalid_key),
            (
                "/scoped",
                vec![("x-api-key", secret)],
                "7",
                "API key does not have required scope: agents:read",
            ),
            (
                "/a",
                vec![("x-api-key", secret), ("authorization", "Bearer other")],
                "3",
                "Bad request: two different credentials",
            ),
        ] {
            let fields = [&[GRPC, ("te", "trailers")], &fields[..]].concat();
            let (answer, mut sending) = client.begin("POST", path, &fields).await;
            sending.send_data("never read".into(), false).expect("the stream is open");
            let answer = whole(answer).await.expect("an answer comes");
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("content-type"), Some("application/grpc"));
            assert_eq!(answer.header("grpc-status"), Some(status));
            assert_eq!(answer.header("grpc-message"), Some(message));
            assert_eq!(answer.header("content-length"), None);
            assert!(answer.header("x-request-id").is_some());
            assert_eq!(answer.header("www-authenticate").is_some(), status != "3", "{path}");
            assert!(answer.body.is_empty() && answer.trailers.is_none());
        }
    });
    assert_eq!(origin.count(), 0);
}

#[test]
fn limits_routes_and_upstreams_have_their_own_status() {
    let origin = Origin::scripted(|_| Err(std::io::ErrorKind::Other.into()));
    let limited = "[[routes]]\npath = \"/limited\"\nmethods = [\"POST\"]\nupstream = \"api\"\n\
        limits = [\"1/hour\"]\n[[routes]]\npath = \"/failing/**\"\nupstream = \"api\"\n\
        [errors.method_not_allowed]\nmessage = \"100 % no\"";
    let (gateway, key) = open_with(&origin, limited);
    let secret = [GRPC, ("x-api-key", key.secret())];
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let status = |answer: &super::client::Whole| {
            (answer.header("grpc-status").unwrap_or("none").to_owned(), answer.text())
        };
        let unavailable = client.post("/limited", &secret, b"").await;
        assert_eq!(status(&unavailable), ("14".to_owned(), String::new()));
        let limited = client.post("/limited", &secret, b"").await;
        assert_eq!(status(&limited), ("8".to_owned(), String::new()));
        assert!(limited.header("retry-after").is_some());
        assert_eq!(limited.header("x-ratelimit-remaining"), Some("0"));
        let missing = client.post("/nowhere", &secret, b"").await;
        assert_eq!(status(&missing), ("12".to_owned(), String::new()));
        let method = client.get("/limited", &secret).await;
        assert_eq!(status(&method), ("12".to_owned(), String::new()));
        assert_eq!(method.header("grpc-message"), Some("100 %25 no"));
        assert_eq!(method.header("allow"), Some("POST"));
    });
    // What operators count and read is the refusal's own status.
    let metrics = gateway.metrics();
    assert_eq!(metrics.matching("keygate_requests_total", &["status=\"429\""]), 1);
    assert_eq!(metrics.matching("keygate_refusals_total", &["reason=\"rate_limited\""]), 1);
}

#[test]
fn what_is_no_grpc_call_is_refused_as_ever() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        for content_type in ["application/grpc-web", "application/json", "text/plain"] {
            let answer = client.post("/a", &[("content-type", content_type)], b"").await;
            assert_eq!(answer.status, 401);
            assert_eq!(answer.header("content-type"), Some("application/json"));
            assert_eq!(answer.header("grpc-status"), None);
        }
        // Neither is one that is let in: its upstream answers as it likes.
        let fields = [&[GRPC], &with(&key)[..]].concat();
        let answer = client.post("/a", &fields, b"").await;
        assert_eq!((answer.status, answer.text().as_str()), (200, r#"{"ok":true}"#));
    });
    let over_http_1 = gateway.curl("/a").header("Content-Type: application/grpc").send();
    assert_eq!(over_http_1.status, 401);
}
