//! A connection that abuses the protocol ends, and no other notices.

use super::frames::{
    self, CANCEL, CONTINUATION, ENHANCE_YOUR_CALM, HEADERS, REFUSED_STREAM, RST_STREAM, frame,
    reset,
};
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
fn a_stream_beyond_those_that_may_be_open_is_refused_alone() {
    let origin = Origin::silent();
    let (gateway, key) = open(&origin);
    let secret = [("x-api-key", key.secret())];
    let mut frames = Frames::connect(gateway.address());
    let streams: Vec<u32> = (0..=128).map(|number| number * 2 + 1).collect();
    for stream in &streams {
        frames.send(frames::headers(*stream, true, &frames::get("/a", &secret)));
    }
    let refused = frames.next_of(streams[128]);
    assert_eq!((refused.kind, refused.code()), (RST_STREAM, REFUSED_STREAM));
    origin.wait_for("the others", |received| received.len() == 128);
    // As soon as one ends, there is room for another.
    frames.send(reset(streams[0], CANCEL));
    frames.send(frames::headers(1001, true, &frames::get("/a", &[])));
    assert_eq!(frames.next_of(1001).kind, HEADERS);
}
