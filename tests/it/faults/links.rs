//! The network between one instance and the store: cut, and swallowing packets.

use std::time::Duration;

use tokio::time::Instant;

use super::{call, is_unavailable, shared};
use crate::support::load::{Load, get};
use crate::support::{Origin, TestGateway, Wire, until};

/// Far below what any answer of the store is waited for.
const AT_ONCE: Duration = Duration::from_millis(900);

fn is_followed(gateway: &TestGateway) -> bool {
    gateway.metrics().total("keygate_store_up") == 1
}

#[test]
fn an_instance_that_is_cut_off_goes_on_with_what_it_knows_and_catches_up_before_it_is_live() {
    let origin = Origin::start();
    let Some(first) = shared(&origin) else { return };
    let (second, link) = first.another_behind_a_link();
    let (kept, ended) = (first.key("--name kept"), first.key("--name ended"));
    for key in [&kept, &ended] {
        until("the key is known", || call(&second, key).status == 200);
    }
    link.cut();
    until("it notices", || !is_followed(&second));
    let made = first.key("--name made");
    first.run(&format!("key revoke {} --no-wait", ended.id()));
    until("the other has heard of it", || call(&first, &ended).status == 401);
    assert_eq!(call(&second, &kept).status, 200);
    is_unavailable(&call(&second, &made));

    link.mend();
    until("it is back", || is_followed(&second));
    assert_eq!(call(&second, &ended).status, 401, "caught up before it is live");
    assert_eq!(call(&second, &made).status, 200);
    assert_eq!(call(&second, &kept).status, 200);
}

#[test]
fn no_known_key_waits_for_a_network_that_swallows_packets() {
    let origin = Origin::start();
    let Some(first) = shared(&origin) else { return };
    let (second, link) = first.another_behind_a_link();
    let key = first.key("--name a");
    until("the key is known", || call(&second, &key).status == 200);
    link.stall();
    let mut wire = Wire::connect(second.address());
    let mut slowest = Duration::ZERO;
    let mut ask = || {
        let asked = Instant::now();
        wire.send(get("/a", key.secret()));
        assert_eq!(wire.answer().status, 200);
        slowest = slowest.max(asked.elapsed());
    };
    until("it notices", || {
        ask();
        !is_followed(&second)
    });
    (0..100).for_each(|_| ask());
    assert!(slowest < AT_ONCE, "a known key waited {slowest:?}");

    first.run(&format!("key revoke {} --no-wait", key.id()));
    link.mend();
    until("it is back and has caught up", || call(&second, &key).status == 401);
}

#[test]
fn a_feed_that_is_cut_again_and_again_loses_nothing() {
    let origin = Origin::start();
    let Some(first) = shared(&origin) else { return };
    let (second, link) = first.another_behind_a_link();
    let known = first.key("--name known");
    until("the key is known", || call(&second, &known).status == 200);
    let load = Load::start(second.address(), vec![get("/a", known.secret()); 2]);
    for round in 0..10 {
        let key = first.key(&format!("--name {round}"));
        until("the key is known", || call(&second, &key).status == 200);
        link.cut_once();
        first.run(&format!("key revoke {} --no-wait", key.id()));
        link.cut_once();
        until("the revocation is in force", || call(&second, &key).status == 401);
        assert_eq!(call(&second, &key).status, 401);
    }
    let tally = load.stop();
    assert!(tally.keys().eq([&200]), "{tally:?}");
}
