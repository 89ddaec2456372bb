//! How many connections one address may have.

use super::setup;
use crate::support::{Origin, TestGateway, Wire, until};

const HEALTH: &str = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n";

fn gateway(origin: &Origin, config: &str) -> TestGateway {
    setup(origin).config(&format!("[server]\nmax_connections = 400\n{config}")).start()
}

/// So many connections that are served.
fn open(gateway: &TestGateway, many: usize) -> Vec<Wire> {
    let connect = |_| {
        let mut wire = Wire::connect(gateway.address());
        wire.send(HEALTH);
        assert_eq!(wire.answer().status, 401);
        wire
    };
    (0..many).map(connect).collect()
}

#[test]
fn one_address_has_a_quarter_of_all_connections() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "");
    let mut held = open(&gateway, 100);
    assert_eq!(Wire::connect(gateway.address()).rest(), b"", "closed at once");
    assert_eq!(gateway.metrics().total("keygate_connections_refused_by_address_total"), 1);
    // What stands goes on, and a place that is given up is free again.
    held[0].send(HEALTH);
    assert_eq!(held[0].answer().status, 401);
    held.pop();
    until("one has ended", || gateway.metrics().total("keygate_connections") == 99);
    open(&gateway, 1);
}

#[test]
fn a_trusted_proxy_brings_everybody() {
    let origin = Origin::start();
    let gateway = gateway(&origin, "trusted_proxies = [\"127.0.0.1\"]");
    open(&gateway, 150);
    assert_eq!(gateway.metrics().total("keygate_connections_refused_by_address_total"), 0);
}
