//! Instances killed without a word.

use rustix::process::Signal;

use super::{call, shared};
use crate::support::load::{Load, get};
use crate::support::{Origin, until};

#[test]
fn a_killed_instance_harms_no_other_and_its_successor_has_the_truth() {
    let origin = Origin::start();
    let Some(first) = shared(&origin) else { return };
    let mut second = first.another();
    let (kept, ended) = (first.key("--name kept"), first.key("--name ended"));
    for gateway in [&first, &second] {
        for key in [&kept, &ended] {
            until("the key is known", || call(gateway, key).status == 200);
        }
    }
    let load = Load::start(first.address(), vec![get("/a", kept.secret()); 2]);
    load.wait_for_more(100);
    second.signal(Signal::KILL);
    assert!(!second.wait().success());
    first.run(&format!("key revoke {} --no-wait", ended.id()));
    until("the revocation is in force", || call(&first, &ended).status == 401);
    let second = second.another();
    assert_eq!(call(&second, &ended).status, 401);
    assert_eq!(call(&second, &kept).status, 200);
    load.wait_for_more(100);
    let tally = load.stop();
    assert!(tally.keys().eq([&200]), "{tally:?}");
}
