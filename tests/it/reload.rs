//! The configuration is read again on SIGHUP and when the file changes; a bad one changes nothing.

use rustix::process::Signal;

use crate::support::{Origin, TestGateway, TestStore, Wire, load, until};

const CONFIG: &str = r#"
[limits]
per_key = ["1000000/min"]
[scopes]
"agents:read" = "Read agent information"
"agents:write" = "Change agents"
[[routes]]
path = "/old"
scopes = ["agents:read"]
upstream = "api"
"#;
const NEW_ROUTES: &str = r#"
[[routes]]
path = "/old"
scopes = ["agents:write"]
upstream = "api"
[[routes]]
path = "/new"
upstream = "api"
"#;

fn gateway(origin: &Origin) -> TestGateway {
    TestGateway::with(TestStore::sqlite()).config(CONFIG).upstream("api", origin).start()
}

fn status(gateway: &TestGateway, path: &str) -> u16 {
    gateway.curl(path).send().status
}

#[test]
fn sighup_puts_a_new_configuration_in_force_and_drops_no_connection() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let key = gateway.key("--name a --scope agents:read");
    let mut kept = Wire::connect(gateway.address());
    let mut ask = |path: &str| {
        kept.send(load::get(path, key.secret()));
        kept.answer().status
    };
    assert_eq!((ask("/old"), ask("/new")), (200, 404));
    gateway.rewrite(NEW_ROUTES);
    gateway.signal(Signal::HUP);
    until("the new route is there", || ask("/new") == 200);
    assert_eq!(ask("/old"), 403);
}

#[test]
fn a_change_of_the_file_is_enough() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    assert_eq!(status(&gateway, "/new"), 404);
    gateway.rewrite(NEW_ROUTES);
    until("the new route is there", || status(&gateway, "/new") == 401);
}

#[test]
fn a_bad_file_is_refused_with_its_errors_and_the_old_one_stays_in_force() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let key = gateway.key("--name a --scope agents:read");
    assert_eq!(gateway.curl("/old").bearer(&key).send().status, 200);
    gateway.rewrite(NEW_ROUTES);
    gateway.installation().spoil("unheard_of = true");
    gateway.signal(Signal::HUP);
    gateway.wait_for_log("unheard_of");
    assert_eq!(gateway.curl("/old").bearer(&key).send().status, 200);
    assert_eq!(status(&gateway, "/new"), 404);
    // Mended, it is taken.
    gateway.installation().rewrite_without("unheard_of");
    gateway.signal(Signal::HUP);
    until("the new route is there", || status(&gateway, "/new") == 401);
}

#[test]
fn under_load_a_reload_fails_no_request() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let key = gateway.key("--name a --scope agents:read");
    let requests = (0..4).map(|_| load::get("/old", key.secret())).collect();
    let load = load::Load::start(gateway.address(), requests);
    for number in 0..5 {
        load.wait_for_more(100);
        gateway.rewrite(&format!(
            "[[routes]]\npath = \"/old\"\nupstream = \"api\"\n\
            [[routes]]\npath = \"/new{number}\"\nupstream = \"api\""
        ));
        gateway.signal(Signal::HUP);
        until("the new route is there", || status(&gateway, &format!("/new{number}")) == 401);
    }
    let tally = load.stop();
    assert!(tally.keys().eq([&200]), "{tally:?}");
}

#[test]
fn what_a_key_has_counted_outlives_a_reload() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    gateway.rewrite("[limits]\nper_key = [\"3/min\"]");
    let key = gateway.key("--name a --scope agents:read --limit 3/min");
    let call = || gateway.curl("/old").bearer(&key).send();
    assert_eq!(call().number("x-ratelimit-remaining"), 2);
    gateway.rewrite(
        "[[routes]]\npath = \"/old\"\nupstream = \"api\"\n\
        [[routes]]\npath = \"/new\"\nupstream = \"api\"",
    );
    gateway.signal(Signal::HUP);
    until("the new route is there", || status(&gateway, "/new") == 401);
    assert_eq!(call().number("x-ratelimit-remaining"), 1);
}
