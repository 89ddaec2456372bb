//! What one target is given at most, names that are resolved, and health checks.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};

use super::upstreams::{nobody, to};
use crate::support::load::get;
use crate::support::{Origin, TestGateway, Wire, until};

const UP: &str = "keygate_upstream_up";

/// Has this process, and those it starts, open as many files as it may.
fn raise_file_limit() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("it is allowed");
}

#[test]
fn beyond_the_connections_and_the_waiting_of_a_target_it_is_503() {
    raise_file_limit();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let gateway =
        to(&format!("\"http://{address}\""), "connect_timeout = \"60s\"\n[server]\nworkers = 1");
    let key = gateway.key("--name a");
    let ask = || {
        let mut wire = Wire::connect(gateway.address());
        wire.send(get("/a", key.secret()));
        wire
    };
    let mut clients: Vec<Wire> = Vec::new();
    let mut taken = Vec::new();
    for _ in 0..1_024 {
        clients.push(ask());
        taken.push(listener.accept().expect("the gateway connects").0);
    }
    clients.extend((0..256).map(|_| ask()));
    let waiting = || gateway.metrics().total("keygate_upstream_waiting");
    until("the others wait", || waiting() == 256);
    let refused = gateway.curl("/a").bearer(&key).send();
    refused.is_refusal(503, "unavailable", "Temporarily unavailable");
    assert!(refused.number("retry-after") >= 1);
    let metrics = gateway.metrics();
    assert_eq!(metrics.total("keygate_upstream_connections"), 1_024);
    assert_eq!(metrics.total("keygate_upstream_overloaded_total"), 1);
    // As soon as one is answered, its connection goes from one that waits to the next.
    for _ in 0..257 {
        let mut head = [0; 1_024];
        assert!(taken[0].read(&mut head).expect("a request comes") > 0);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        taken[0].write_all(answer).expect("the gateway reads");
    }
    let (first, waited) = clients.split_at_mut(1_024);
    assert!(first[..1].iter_mut().chain(waited).all(|wire| wire.answer().status == 200));
    assert_eq!(waiting(), 0);
}

#[test]
fn who_waits_for_a_connection_waits_no_longer_than_one_may_take() {
    raise_file_limit();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let gateway =
        to(&format!("\"http://{address}\""), "connect_timeout = \"300ms\"\n[server]\nworkers = 1");
    let key = gateway.key("--name a");
    let mut held = Vec::new();
    for _ in 0..1_024 {
        let mut wire = Wire::connect(gateway.address());
        wire.send(get("/a", key.secret()));
        held.push((wire, listener.accept().expect("the gateway connects").0));
    }
    let refused = gateway.curl("/a").bearer(&key).send();
    refused.is_refusal(503, "unavailable", "Temporarily unavailable");
}

#[test]
fn a_targets_name_is_resolved_and_one_without_an_address_is_502() {
    let origin = Origin::start();
    let port = origin.address().port();
    let gateway = to(&format!("\"http://localhost:{port}\""), "");
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
    let gateway = to("\"http://no-such-host.invalid\"", "");
    let key = gateway.key("--name a");
    let answer = gateway.curl("/a").bearer(&key).send();
    answer.is_refusal(502, "bad_gateway", "Upstream unavailable");
}

/// An origin whose `/healthz` answers the status that is set.
fn checked() -> (Origin, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(204));
    let said = Arc::clone(&status);
    let origin = Origin::scripted(move |call| {
        let asked = call.request.target == "/healthz?deep";
        call.answer(if asked { said.load(Ordering::SeqCst) } else { 200 }, &[], b"")
    });
    (origin, status)
}

fn requests(origin: &Origin) -> usize {
    origin.received().iter().filter(|request| request.target == "/a").count()
}

#[test]
fn a_target_that_checks_find_down_gets_no_requests_until_it_is_up_again() {
    let ((one, health), other) = (checked(), Origin::start());
    let gateway = to(
        &format!("\"http://{}\", \"http://{}\"", one.address(), other.address()),
        "health = { path = \"/healthz?deep\", interval = \"20ms\" }",
    );
    let key = gateway.key("--name a");
    let target = format!("target=\"{}\"", one.address());
    let up = |gateway: &TestGateway| gateway.metrics().matching(UP, &[&target]) == 1;
    let send = || assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
    health.store(500, Ordering::SeqCst);
    until("it is found down", || !up(&gateway));
    let before = requests(&one);
    (0..20).for_each(|_| send());
    assert_eq!(requests(&one), before);
    gateway.wait_for_log("the health check finds the target down");
    health.store(302, Ordering::SeqCst);
    until("it is found up", || up(&gateway));
    until("it gets requests again", || {
        send();
        requests(&one) > before
    });
    gateway.wait_for_log("the health check finds the target up again");
}

#[test]
fn what_is_checked_follows_the_configuration() {
    let (origin, health) = checked();
    health.store(503, Ordering::SeqCst);
    let gateway = to(&format!("\"http://{}\"", origin.address()), "");
    let key = gateway.key("--name a");
    let up = || gateway.metrics().total(UP) == 1;
    gateway.rewrite("[upstreams.api]\nhealth = { path = \"/healthz?deep\", interval = \"20ms\" }");
    gateway.signal(Signal::HUP);
    until("it is found down", || !up());
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200, "there is no other");
    gateway.rewrite("[upstreams.api]\nhealth = { path = \"\" }");
    gateway.signal(Signal::HUP);
    until("nobody says so any more", up);
}

#[test]
fn a_target_where_nobody_listens_is_found_down_before_any_request() {
    let gateway =
        to(&format!("\"http://{}\"", nobody()), "health = { path = \"/\", interval = \"20ms\" }");
    until("it is found down", || gateway.metrics().total(UP) == 0);
}
