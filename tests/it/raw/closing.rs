//! How connections end: by either side, in the midst of a message, and when nothing comes.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::{gateway, get, is_refused};
use crate::support::{Origin, PATIENCE, TestGateway, TestStore, Wire, load, wire};

/// What every connection of [`hurried`] may wait for.
const HURRY: &str = "[server]\nheader_timeout = \"300ms\"\nidle_timeout = \"300ms\"";

/// A gateway that waits for nobody.
fn hurried(origin: &Origin) -> TestGateway {
    let setup = TestGateway::with(TestStore::sqlite()).config(super::ROUTES).config(HURRY);
    setup.upstream("api", origin).start()
}

#[test]
fn a_client_that_has_closed_its_side_is_still_answered() {
    let (say, told) = channel();
    let told = Mutex::new(told);
    let origin = Origin::scripted(move |call| {
        call.read_body()?;
        told.lock().expect("no script panics").recv().expect("the test says when");
        call.answer(200, &[], b"answered")
    });
    let gateway = gateway(&origin);
    let post = "POST /open/b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let requests = [get("/open/a"), get("/open/a") + post, "\r\n".to_owned() + &get("/open/a")];
    for (request, count) in requests.iter().zip([1, 2, 1]) {
        let mut wire = Wire::connect(gateway.address());
        wire.send(request);
        wire.finish();
        for _ in 0..count {
            say.send(()).expect("the origin listens");
            let answer = wire.answer();
            assert_eq!((answer.status, answer.text().as_str()), (200, "answered"), "{request:?}");
        }
        assert_eq!(wire.rest(), b"", "the gateway closes its side too");
    }
}

#[test]
fn a_client_that_closes_its_side_in_the_midst_of_a_message_is_told_so() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    for begun in [
        "GET /open/a HTTP/1.1\r\nHost: a\r\n",
        "POST /open/a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab",
        "POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "POST /open/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n",
    ] {
        let mut wire = Wire::connect(gateway.address());
        wire.send(begun);
        wire.finish();
        is_refused(&wire.answer(), 400, true, begun);
        assert_eq!(wire.rest(), b"", "{begun:?}");
    }
    for nothing in ["", "\r\n"] {
        let mut wire = Wire::connect(gateway.address());
        wire.send(nothing);
        wire.finish();
        assert_eq!(wire.rest(), b"", "{nothing:?}");
    }
    assert_eq!(origin.whole(), 0);
}

#[test]
fn a_client_that_goes_on_sending_still_sees_why_it_was_refused() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send("POST /keyed/a HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n");
    for _ in 0..50 {
        // The gateway may have closed by then; the answer is what counts.
        let _ = wire.try_send([b'x'; 1_000]);
    }
    assert_eq!(wire.answer().status, 401);
    assert_eq!(wire.rest(), b"");
}

#[test]
fn a_head_that_does_not_come_to_its_end_in_time_is_given_up() {
    let origin = Origin::start();
    let gateway = hurried(&origin);
    for begun in ["", "\r\n", "GET /open/a HTTP/1.1\r\nHost: a\r\n"] {
        let answer = wire::raw(gateway.address(), begun);
        assert_eq!(String::from_utf8_lossy(&answer), "", "{begun:?}");
    }
    let mut idle = Wire::connect(gateway.address());
    for behind in ["", "\r\n", "GET /open/a HT"] {
        idle.send(get("/open/a"));
        assert_eq!(idle.answer().status, 200);
        idle.send(behind);
        assert_eq!(idle.rest(), b"", "{behind:?}");
        idle = Wire::connect(gateway.address());
    }
}

#[test]
fn a_request_under_way_behind_another_is_not_taken_for_an_idle_client() {
    let (say, told) = channel::<()>();
    let told = Mutex::new(told);
    let origin = Origin::scripted(move |call| {
        if call.request.target == "/open/slow" {
            // Longer than an idle client is kept.
            let told = told.lock().expect("no script panics");
            let _ = told.recv_timeout(std::time::Duration::from_secs(1));
        }
        call.answer(200, &[], b"answered")
    });
    let gateway = hurried(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send(get("/open/a") + &get("/open/slow"));
    assert_eq!([wire.answer().status, wire.answer().status], [200, 200]);
    drop(say);
}

#[test]
fn a_client_that_does_not_take_its_answer_is_given_up() {
    let (left, is_gone) = channel();
    let left = Mutex::new(left);
    let origin = Origin::scripted(move |call| {
        call.begin_answer(200, &[])?;
        loop {
            if let Err(error) = call.piece(&[b'x'; 16 * 1024]) {
                left.lock().expect("no script panics").send(()).expect("the test waits");
                return Err(error);
            }
        }
    });
    let gateway = hurried(&origin);
    let mut wire = Wire::connect(gateway.address());
    wire.send(get("/open/a"));
    is_gone.recv_timeout(PATIENCE).expect("the upstream is told that the client is given up");
    drop(wire);
}

#[test]
fn a_kept_connection_may_wait_between_requests_and_go_on() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    for _ in 0..3 {
        wire.send(load::get("/keyed/a", key.secret()));
        assert_eq!(wire.answer().status, 200);
        // Some clients end a body with an empty line too many.
        wire.send("\r\n");
    }
    assert_eq!(origin.whole(), 3);
}
