//! Timeouts and the end of a connection, without a timer per stream.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use rustix::process::Signal;

use super::client::{head, piece, whole};
use super::frames::{self, GOAWAY, HEADERS, NO_ERROR, RST_STREAM};
use super::{Client, Frames, open, open_with, with};
use crate::support::{Origin, Wire, block_on};

#[test]
fn an_upstream_that_is_overdue_costs_its_stream_and_no_other() {
    let origin = Origin::scripted(|call| {
        call.read_body()?;
        match call.request.target.as_str() {
            "/slow/silent" => stop(),
            "/slow/half" => {
                call.begin_answer(200, &[])?;
                call.piece(b"half")?;
                stop()
            }
            _ => call.answer(200, &[], b"quick"),
        }
    });
    let slow = "[[routes]]\npath = \"/slow/{how}\"\nupstream = \"api\"\ntimeout = \"300ms\"\n\
        [[routes]]\npath = \"/**\"\nupstream = \"api\"";
    let (gateway, key) = open_with(&origin, slow);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let silent = client.ask("/slow/silent", &with(&key)).await;
        assert_eq!(client.get("/quick", &with(&key)).await.text(), "quick");
        let answer = whole(silent).await.expect("an answer comes");
        assert_eq!(answer.status, 504, "{}", answer.text());
        let half = client.ask("/slow/half", &with(&key)).await;
        let mut body = head(half).await.expect("an answer comes").into_body();
        assert_eq!(piece(&mut body).await.expect("a piece comes").expect("it goes on"), "half");
        assert!(piece(&mut body).await.is_err(), "the rest never comes");
        assert_eq!(client.get("/quick", &with(&key)).await.text(), "quick");
    });
}

#[test]
fn a_connection_without_streams_is_told_to_go_and_then_closed() {
    let origin = Origin::start();
    let (gateway, _) = open_with(&origin, "[server]\nidle_timeout = \"300ms\"");
    let mut frames = Frames::connect(gateway.address());
    frames.send(frames::headers(1, true, &frames::get("/a", &[])));
    assert_eq!(frames.next_of(1).kind, HEADERS);
    let farewell = frames.farewell().expect("a farewell");
    assert_eq!(farewell.code(), NO_ERROR);
    while frames.next().is_some() {}
}

#[test]
fn half_a_preface_is_given_the_time_of_a_head() {
    let origin = Origin::start();
    let (gateway, _) = open_with(&origin, "[server]\nheader_timeout = \"300ms\"");
    let mut wire = Wire::connect(gateway.address());
    wire.send("PRI * HTTP/2.0\r\n\r\n");
    assert_eq!(wire.rest(), b"");
}

#[test]
fn an_answer_that_its_client_does_not_take_is_given_up() {
    let origin = Origin::scripted(|call| {
        call.begin_answer(200, &[])?;
        loop {
            call.piece(&[b'x'; 16 * 1024])?;
        }
    });
    let slow = "[[routes]]\npath = \"/large\"\nupstream = \"api\"\ntimeout = \"300ms\"\n\
        [[routes]]\npath = \"/**\"\nupstream = \"api\"";
    let (gateway, key) = open_with(&origin, slow);
    let mut frames = Frames::connect(gateway.address());
    let secret = [("x-api-key", key.secret())];
    frames.send(frames::headers(1, true, &frames::get("/large", &secret)));
    let end = loop {
        let frame = frames.next_of(1);
        if frame.kind == RST_STREAM || frame.kind == GOAWAY {
            break frame;
        }
    };
    assert_eq!(end.kind, RST_STREAM);
}

#[test]
fn draining_says_so_and_finishes_what_is_under_way() {
    let (release, released) = channel();
    let released = Mutex::new(released);
    let origin = Origin::scripted(move |call| {
        call.read_body()?;
        // An error means that the test is over.
        let _ = released.lock().expect("no script panics").recv();
        call.answer(200, &[], b"finished")
    });
    let (mut gateway, key) = open(&origin);
    block_on(async {
        let client = Client::connect(gateway.address()).await;
        let idle = Client::connect(gateway.address()).await;
        assert_eq!(idle.get("/a", &[]).await.status, 401);
        let running = tokio::spawn(whole(client.ask("/a", &with(&key)).await));
        while origin.count() == 0 {
            tokio::task::yield_now().await;
        }
        gateway.signal(Signal::TERM);
        idle.closed().await.expect("it was closed in good order");
        release.send(()).expect("the origin waits");
        let answer = running.await.expect("no panic").expect("an answer comes");
        assert_eq!(answer.text(), "finished");
        client.closed().await.expect("it was closed in good order");
    });
    assert!(gateway.wait().success());
}

/// Goes no further, until the test is over.
fn stop() -> std::io::Result<()> {
    loop {
        std::thread::park();
    }
}
