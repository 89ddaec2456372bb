//! The harness against itself: a gateway that is none, straight to a scripted upstream.

use super::curl::Curl;
use super::load::{Load, get, send_all, tally};
use super::{Origin, Wire, wire};

#[test]
fn curl_and_the_raw_client_see_the_same_answer() {
    let origin = Origin::start();
    let by_curl = Curl::new(origin.address(), "/a?b").header("X-A: c").body("hello").send();
    let request = "POST /a?b HTTP/1.1\r\nHost: a\r\nX-A: c\r\nContent-Length: 5\r\n\r\nhello";
    let by_wire = wire::ask(origin.address(), request);
    assert_eq!((by_curl.status, by_curl.text()), (by_wire.status, by_wire.text()));
    assert_eq!(by_curl.fields, by_wire.fields);
    for request in origin.received() {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/a?b"));
        assert_eq!((request.header("x-a"), request.body.as_slice()), (Some("c"), &b"hello"[..]));
    }
}

#[test]
fn pieces_come_as_they_are_sent_both_ways() {
    let origin = Origin::scripted(|call| {
        call.begin_answer(200, &[])?;
        while let Some(piece) = call.read_piece()? {
            call.piece(&piece)?;
        }
        call.end_answer()
    });
    let mut wire = Wire::connect(origin.address());
    wire.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    let (_, mut framing) = wire.answer_head();
    for piece in ["one", "two"] {
        wire.send(format!("3\r\n{piece}\r\n"));
        assert_eq!(wire.piece(&mut framing).unwrap().unwrap(), piece.as_bytes());
    }
    wire.send("0\r\n\r\n");
    assert_eq!(wire.piece(&mut framing).unwrap(), None);
}

#[test]
fn a_load_is_answered_and_counted_to_the_last_request() {
    let origin = Origin::start();
    let answers = send_all(origin.address(), 8, 100, |_| get("/a", "none"));
    assert_eq!(tally(&answers), [(200, 100)].into());
    assert_eq!((origin.count(), origin.connections()), (100, 8));
    let load = Load::start(origin.address(), vec![get("/a", "none"); 3]);
    load.wait_for_more(50);
    let tally = load.stop();
    assert!(tally[&200] >= 50 && tally.len() == 1, "{tally:?}");
    assert_eq!(origin.count() as u64, 100 + tally[&200]);
}
