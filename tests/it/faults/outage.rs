//! The store away: who is known goes on, nobody else is let in, and all heals by itself.

use super::{CONFIG, call, gateway, is_unavailable};
use crate::support::load::{Load, get};
use crate::support::{Origin, TestGateway, TestStore, bulk, until};

#[test]
fn no_known_key_fails_while_postgres_is_away_and_all_heals_when_it_is_back() {
    let origin = Origin::start();
    let Some(gateway) = gateway(&origin, "") else { return };
    let known: Vec<_> = (0..4).map(|n| gateway.key(&format!("--name known{n}"))).collect();
    let unseen = gateway.key("--name unseen");
    for key in &known {
        assert_eq!(call(&gateway, key).status, 200);
    }
    let requests = known.iter().map(|key| get("/a", key.secret())).collect();
    let load = Load::start(gateway.address(), requests);
    load.wait_for_more(200);

    gateway.store().server().stop();
    until("the gateway notices", || gateway.metrics().total("keygate_store_up") == 0);
    load.wait_for_more(1_000);
    is_unavailable(&call(&gateway, &unseen));
    let unknown = bulk::unknown_secret();
    let unknown = format!("X-API-Key: {}", unknown.expose());
    is_unavailable(&gateway.curl("/a").header(&unknown).send());
    // What cannot be a key needs no store to be told so.
    assert_eq!(gateway.curl("/a").header("X-API-Key: nonsense").send().status, 401);
    assert_eq!(gateway.admin("/readyz").status, 200, "what is cached goes on working");
    load.wait_for_more(1_000);

    gateway.store().server().start();
    until("the store is back", || call(&gateway, &unseen).status == 200);
    assert_eq!(gateway.curl("/a").header(&unknown).send().status, 401);
    assert_eq!(gateway.metrics().total("keygate_store_up"), 1);
    load.wait_for_more(200);
    let tally = load.stop();
    assert!(tally.keys().eq([&200]), "{tally:?}");
}

#[test]
fn a_key_revoked_while_the_gateway_could_not_hear_of_it_is_refused_from_then_on() {
    let origin = Origin::start();
    let Some(gateway) = gateway(&origin, "") else { return };
    let key = gateway.key("--name a");
    assert_eq!(call(&gateway, &key).status, 200);
    for _ in 0..3 {
        gateway.store().server().stop();
        gateway.store().server().start();
    }
    gateway.run(&format!("key revoke {} --no-wait", key.id()));
    until("the revocation is in force", || call(&gateway, &key).status == 401);
    gateway.store().server().stop();
    until("the gateway notices", || gateway.metrics().total("keygate_store_up") == 0);
    let refused = call(&gateway, &key);
    refused.is_refusal(401, "unauthorized", "Invalid or missing API key");
    gateway.store().server().start();
}

#[test]
fn a_store_that_hangs_is_away() {
    let origin = Origin::start();
    let Some(gateway) = gateway(&origin, "") else { return };
    let (known, unseen) = (gateway.key("--name known"), gateway.key("--name unseen"));
    assert_eq!(call(&gateway, &known).status, 200);
    gateway.store().server().freeze();
    is_unavailable(&call(&gateway, &unseen));
    assert_eq!(call(&gateway, &known).status, 200);
    gateway.store().server().thaw();
    until("the store is back", || call(&gateway, &unseen).status == 200);
}

#[test]
fn without_its_store_for_too_long_the_gateway_lets_nobody_in() {
    let origin = Origin::start();
    let Some(gateway) = gateway(&origin, "[cache]\nstale_if_down = \"1s\"") else { return };
    let key = gateway.key("--name a");
    assert_eq!(call(&gateway, &key).status, 200);
    gateway.store().server().stop();
    until("what is cached is too old", || call(&gateway, &key).status == 503);
    is_unavailable(&call(&gateway, &key));
    gateway.store().server().start();
    until("the store is back", || call(&gateway, &key).status == 200);
}

#[test]
fn a_gateway_starts_without_its_store_says_so_and_heals_by_itself() {
    let origin = Origin::start();
    let Some(store) = TestStore::own_postgres() else { return };
    let setup = TestGateway::with(store).config(CONFIG).upstream("api", &origin);
    let (installation, store) = setup.install();
    installation.run(&["migrate"]);
    let key = installation.mint("key create --name a");
    store.server().stop();

    let gateway = installation.serve(store);
    assert_eq!(gateway.admin("/healthz").status, 200);
    assert_eq!(gateway.admin("/readyz").status, 503);
    is_unavailable(&call(&gateway, &key));
    assert_eq!(gateway.curl("/a").send().status, 401);

    gateway.store().server().start();
    until("the gateway is ready", || gateway.admin("/readyz").status == 200);
    assert_eq!(call(&gateway, &key).status, 200);
}

#[test]
fn a_gateway_refuses_to_start_on_a_postgres_that_is_behind() {
    let origin = Origin::start();
    let Some(store) = TestStore::postgres() else { return };
    let setup = TestGateway::with(store).config(CONFIG).upstream("api", &origin);
    let (installation, _store) = setup.install();
    let printed = installation.try_run(&["serve"]);
    assert_eq!(printed.code, 1, "{}", printed.err);
    assert!(printed.err.contains("keygate migrate"), "{}", printed.err);
}
