//! A connection that abuses the protocol ends, and no other notices.

use super::client::whole;
use super::frames::{self, CANCEL, CONTINUATION, ENHANCE_YOUR_CALM, HEADERS, frame, reset};
use super::{Client, Frames, open, with};
use crate::support::{Origin, block_on, until};

const RESETS: u32 = 10_000;

#[test]
fn ten_thousand_resets_in_a_row_end_their_connection_and_no_other() {
    let origin = Origin::silent();
    let (gateway, key) = open(&origin);
    let secret = [("x-api-key", key.secret())];
    let cut = |gateway: &crate::support::TestGateway| {
        gateway.metrics().total("keygate_http2_connections_cut_total")
    };
    block_on(async {
        let other = Client::connect(gateway.address()).await;
        assert_eq!(other.get("/a", &[]).await.status, 401);
        // Together, so that they are read at once, and apart, so that each request is begun.
        for (done, together) in [true, false].into_iter().enumerate() {
            let mut frames = Frames::connect(gateway.address());
            let mut sent = 0;
            for number in 0..RESETS {
                let stream = number * 2 + 1;
                let head = frames::headers(stream, true, &frames::get("/a", &secret));
                let went = if together {
                    frames.try_send([head, reset(stream, CANCEL)].concat())
                } else {
                    frames.try_send(head) && frames.try_send(reset(stream, CANCEL))
                };
                if !went {
                    break;
                }
                sent += 1;
                if number % 100 == 0 {
                    assert_eq!(other.get("/a", &[]).await.status, 401, "another client");
                }
            }
            while frames.next().is_some() {}
            assert!(sent < RESETS, "all of them were taken");
            until("the connection is cut", || cut(&gateway) == done as u64 + 1);
            assert_eq!(other.get("/a", &[]).await.status, 401, "another client");
        }
    });
    // The upstream has seen a few of them at most.
    assert!(origin.count() < 1_000, "{} requests reached the upstream", origin.count());
}

#[test]
fn a_head_without_end_ends_its_connection() {
    let origin = Origin::start();
    let (gateway, key) = open(&origin);
    let mut frames = Frames::connect(gateway.address());
    frames.send(frame(HEADERS, 0, 1, &frames::block(&frames::get("/a", &[]))));
    let more = frame(CONTINUATION, 0, 1, &frames::block(&[("x-more", &"x".repeat(1_000))]));
    let mut sent = 0;
    while sent < 10_000 && frames.try_send(&more) {
        sent += 1;
    }
    if let Some(farewell) = frames.farewell() {
        assert_eq!(farewell.code(), ENHANCE_YOUR_CALM);
    }
    let flood = ["cause=\"flood\""];
    until("the connection is cut", || {
        gateway.metrics().matching("keygate_http2_connections_cut_total", &flood) == 1
    });
    assert!(gateway.peak_memory_kib() < 150 * 1024);
    block_on(async {
        let other = Client::connect(gateway.address()).await;
        assert_eq!(other.get("/a", &with(&key)).await.status, 200);
    });
}

#[test]
fn no_more_streams_are_open_at_a_time_than_the_gateway_says() {
    let origin = Origin::silent();
    let (gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        assert_eq!(client.get("/a", &[]).await.status, 401);
        let mut held = Vec::new();
        for _ in 0..128 {
            held.push(client.begin("POST", "/a", &with(&key)).await);
        }
        let waits = client.begin("POST", "/a", &[]);
        let waited = tokio::time::timeout(std::time::Duration::from_millis(100), waits).await;
        assert!(waited.is_err(), "a stream too many was opened");
        drop(held);
        let (answer, _body) = client.begin("POST", "/a", &[]).await;
        assert_eq!(whole(answer).await.expect("an answer comes").status, 401);
    });
}
