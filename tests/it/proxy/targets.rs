//! Several targets: how requests are shared among them, and what becomes of one that fails.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use super::upstreams::{nobody, to};
use crate::support::load::{Load, get};
use crate::support::{Origin, TestGateway, Wire, until};

const UP: &str = "keygate_upstream_up";

fn two(one: SocketAddr, other: SocketAddr, settings: &str) -> TestGateway {
    to(&format!("\"http://{one}\", \"http://{other}\""), settings)
}

fn target(address: SocketAddr) -> String {
    format!("target=\"{address}\"")
}

/// An origin that can be broken: then it reads each request and hangs up.
fn breakable() -> (Origin, Arc<AtomicBool>) {
    let broken = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&broken);
    let origin = Origin::scripted(move |call| {
        call.read_body()?;
        if seen.load(Ordering::SeqCst) {
            return Err(std::io::ErrorKind::Other.into());
        }
        call.answer(200, &[], b"{}")
    });
    (origin, broken)
}

#[test]
fn several_targets_share_the_requests() {
    let (one, other) = (Origin::start(), Origin::start());
    let gateway = two(one.address(), other.address(), "");
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    for _ in 0..64 {
        wire.send(get("/a", key.secret()));
        assert_eq!(wire.answer().status, 200);
    }
    // One chance in 2^63 that it goes wrong by itself.
    assert!(one.count() > 0 && other.count() > 0);
    assert_eq!(one.count() + other.count(), 64);
}

#[test]
fn a_request_goes_to_the_less_busy_of_two_targets() {
    let release = Arc::new(Barrier::new(2));
    let held = Arc::clone(&release);
    let slow = Origin::scripted(move |call| {
        held.wait();
        call.answer(200, &[], b"slow")
    });
    let fast = Origin::start();
    let gateway = two(slow.address(), fast.address(), "\n[server]\nworkers = 1");
    let key = gateway.key("--name a");
    // Asks until one request hangs at the slow one.
    let mut waiting = Wire::connect(gateway.address());
    while slow.count() == 0 {
        let before = fast.count();
        waiting.send(get("/a", key.secret()));
        until("it has come to a target", || slow.count() == 1 || fast.count() > before);
        if slow.count() == 0 {
            assert_eq!(waiting.answer().status, 200);
        }
    }
    for _ in 0..20 {
        let answer = gateway.curl("/a").bearer(&key).send();
        assert_eq!(answer.text(), r#"{"ok":true}"#);
    }
    release.wait();
    assert_eq!(waiting.answer().text(), "slow");
    assert_eq!(slow.count(), 1);
}

#[test]
fn a_target_that_breaks_under_load_costs_nothing_idempotent_and_comes_back_by_itself() {
    let ((one, broken), other) = (breakable(), Origin::start());
    let gateway = two(one.address(), other.address(), "");
    let key = gateway.key("--name a");
    let load = Load::start(gateway.address(), vec![get("/a", key.secret()); 8]);
    load.wait_for_more(200);
    broken.store(true, Ordering::SeqCst);
    until("the target is left out", || {
        gateway.metrics().matching(UP, &[&target(one.address())]) == 0
    });
    let reached = one.count();
    load.wait_for_more(500);
    // The eight that may have been on their way, and a trial.
    assert!(one.count() <= reached + 9, "a target that is left out is not asked");
    broken.store(false, Ordering::SeqCst);
    until("the target is back", || gateway.metrics().matching(UP, &[&target(one.address())]) == 1);
    let reached = one.count();
    load.wait_for_more(500);
    assert!(one.count() > reached);
    let tally = load.stop();
    assert_eq!(tally.keys().copied().collect::<Vec<u16>>(), [200], "{tally:?}");
    let metrics = gateway.metrics();
    assert!(metrics.matching("keygate_upstream_retries_total", &[&target(one.address())]) >= 3);
    assert!(metrics.matching("keygate_upstream_ejections_total", &[&target(one.address())]) >= 1);
}

#[test]
fn what_may_have_been_done_is_not_asked_of_another_target() {
    let ((one, first), (other, second)) = (breakable(), breakable());
    first.store(true, Ordering::SeqCst);
    second.store(true, Ordering::SeqCst);
    let gateway = two(one.address(), other.address(), "");
    let key = gateway.key("--name a");
    let post = gateway.curl("/a").method("POST").body("{}").bearer(&key).send();
    post.is_refusal(502, "bad_gateway", "Upstream unavailable");
    assert_eq!(one.count() + other.count(), 1);
    // What is idempotent, but had a body that is gone, neither.
    let put = gateway.curl("/a").method("PUT").body("{}").bearer(&key).send();
    put.is_refusal(502, "bad_gateway", "Upstream unavailable");
    assert_eq!(one.count() + other.count(), 2);
    let get = gateway.curl("/a").bearer(&key).send();
    get.is_refusal(502, "bad_gateway", "Upstream unavailable");
    assert_eq!(one.count() + other.count(), 4, "each is asked once");
}

#[test]
fn where_every_target_is_left_out_all_are_tried() {
    let (origin, broken) = breakable();
    broken.store(true, Ordering::SeqCst);
    let gateway = two(origin.address(), nobody(), "");
    let key = gateway.key("--name a");
    let refused = || gateway.curl("/a").bearer(&key).send().status == 502;
    until("both are left out", || refused() && gateway.metrics().total(UP) == 0);
    broken.store(false, Ordering::SeqCst);
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
    assert_eq!(gateway.metrics().matching(UP, &[&target(origin.address())]), 1);
}
