//! Upstreams that speak HTTP/2.

use http::Version;

use super::upstreams::to;
use crate::support::load::{Load, get, send_all, tally};
use crate::support::modern::{ModernOrigin, Speaks};
use crate::support::{TestGateway, Wire, until};

fn gateway(origin: &ModernOrigin) -> TestGateway {
    let target = format!("\"http://{}\"", origin.address());
    to(&target, "http2 = true\n[server]\nworkers = 1")
}

#[test]
fn requests_share_one_connection_of_http2() {
    let origin = ModernOrigin::start(Speaks::Http2);
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    let answers = send_all(gateway.address(), 20, 200, |_| get("/a?b=c", key.secret()));
    assert_eq!(tally(&answers).into_iter().collect::<Vec<_>>(), [(200, 200)]);
    assert_eq!(origin.connections(), 1);
    let received = origin.last();
    assert_eq!(received.version(), Version::HTTP_2);
    assert_eq!(received.uri(), "http://gateway/a?b=c", "whom it is for is what Host said");
    assert!(received.headers().contains_key("x-auth-key-id"));
    for name in ["host", "te", "connection", "authorization"] {
        assert!(!received.headers().contains_key(name), "{name}");
    }
}

#[test]
fn bodies_pass_both_ways_and_trailers_are_asked_for() {
    let origin = ModernOrigin::start(Speaks::Http2);
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    let body = "0123456789".repeat(100_000);
    let mut wire = Wire::connect(gateway.address());
    wire.send(format!(
        "POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\nTE: trailers\r\nConnection: TE\r\n\
         Content-Length: {}\r\n\r\n{body}",
        key.secret(),
        body.len()
    ));
    let answer = wire.answer();
    assert_eq!(answer.status, 200);
    assert!(answer.text() == body, "what came back is what was sent");
    assert_eq!(origin.last().headers()["te"], "trailers");
    assert_eq!(origin.last().headers()["content-length"], "1000000");
}

#[test]
fn a_second_connection_is_made_where_the_first_is_full() {
    let origin = ModernOrigin::start(Speaks::Http2);
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
    // The library's server takes 200 requests at once on a connection; until it has said so, 100.
    let mut held: Vec<Wire> = (0..250).map(|_| Wire::connect(gateway.address())).collect();
    for wire in &mut held {
        wire.send(get("/held", key.secret()));
    }
    until("all are there", || origin.received().len() == 251);
    assert!((2..=3).contains(&origin.connections()));
    origin.release(250);
    assert!(held.iter_mut().all(|wire| wire.answer().status == 200));
}

#[test]
fn a_connection_that_closes_gracefully_costs_no_request() {
    let origin = ModernOrigin::start(Speaks::Http2);
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    let load = Load::start(gateway.address(), vec![get("/a", key.secret()); 8]);
    for closed in 1..=5 {
        load.wait_for_more(100);
        origin.close_gracefully();
        until("another connection is made", || origin.connections() > closed);
    }
    load.wait_for_more(100);
    let tally = load.stop();
    assert_eq!(tally.keys().copied().collect::<Vec<u16>>(), [200], "{tally:?}");
}

#[test]
fn clients_that_leave_do_not_close_the_connection_under_the_others() {
    let origin = ModernOrigin::start(Speaks::Http2);
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    let mut stays = Wire::connect(gateway.address());
    stays.send(get("/held", key.secret()));
    until("it is there", || origin.received().len() == 1);
    for round in 0..12 {
        let mut leaving: Vec<Wire> = (0..100).map(|_| Wire::connect(gateway.address())).collect();
        for wire in &mut leaving {
            wire.send(get("/held", key.secret()));
        }
        until("they are there", || origin.received().len() == 101 + round * 100);
    }
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
    until("those who left are gone", || origin.connections() >= 2);
    origin.release(10_000);
    assert_eq!(stays.answer().status, 200);
}
