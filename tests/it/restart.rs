//! With a cache key, a secret that was verified once needs no second Argon2: not after a restart, not
//! on another instance. Who has the store alone gains nothing by what is kept for it.

use std::fs;
use std::path::PathBuf;

use rstest::rstest;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{MintedKey, Origin, TestGateway, TestStore, bulk};

const CONFIG: &str = r#"
[limits]
per_key = []
[scopes]
"agents:read" = "Read agent information"
[[routes]]
path = "/**"
upstream = "api"
"#;
const ONE: &str = "one cache key with forty-one characters..";
const OTHER: &str = "another cache key, of forty characters..";
const KEYS: u64 = 12;

/// A cache key's file, and a gateway that reads it.
struct Scene {
    dir: TempDir,
    origin: Origin,
    gateway: TestGateway,
    keys: Vec<MintedKey>,
}

impl Scene {
    /// `None` where there is no Postgres and one is asked for.
    fn on(kind: Kind, cache_key: &str) -> Option<Self> {
        let dir = TempDir::new().expect("a directory can be made");
        let file = dir.path().join("cache.key");
        fs::write(&file, cache_key).expect("a file can be written");
        let origin = Origin::start();
        let setup = TestGateway::with(TestStore::of(kind)?).config(CONFIG);
        let cache = format!("[cache]\nkey_file = \"{}\"", file.display());
        let gateway = setup.config(&cache).upstream("api", &origin).start();
        let keys = bulk::insert(gateway.store(), KEYS as usize, |_, _| {});
        Some(Self { dir, origin, gateway, keys })
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("cache.key")
    }

    fn write_key(&self, text: &str) {
        fs::write(self.file(), text).expect("a file can be written");
    }

    /// Calls with each key once; how many runs of Argon2 that took.
    fn call_all(&self) -> u64 {
        for key in &self.keys {
            assert_eq!(self.status(key.secret()), 200);
        }
        self.argon2_runs()
    }

    fn status(&self, secret: &str) -> u16 {
        self.gateway.curl("/a").header(&format!("X-API-Key: {secret}")).send().status
    }

    fn argon2_runs(&self) -> u64 {
        self.gateway.metrics().total("keygate_argon2_runs_total")
    }

    /// Stops the gateway and starts it again.
    fn restart(&mut self) {
        self.gateway.signal(Signal::TERM);
        assert_eq!(self.gateway.wait().code(), Some(0));
        self.gateway = self.gateway.another();
    }
}

#[rstest]
fn a_secret_that_was_verified_before_costs_no_argon2(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(mut scene) = Scene::on(kind, ONE) else { return };
    assert_eq!(scene.call_all(), KEYS);
    scene.restart();
    assert_eq!(scene.call_all(), 0);
    // A wrong string under the id of a secret that was not used since is wrong without Argon2 too.
    scene.restart();
    for (number, key) in scene.keys.iter().enumerate() {
        assert_eq!(scene.status(&bulk::wrong_secret(key.secret(), number)), 401);
    }
    assert_eq!(scene.argon2_runs(), 0);
    assert_eq!(scene.call_all(), 0);
    assert_eq!(scene.origin.received().len() as u64, 3 * KEYS);
}

#[test]
fn without_a_cache_key_a_restart_costs_one_argon2_a_secret() {
    let Some(mut scene) = Scene::on(Sqlite, ONE) else { return };
    scene.gateway.rewrite("[cache]\nkey_file = \"\"");
    scene.restart();
    assert_eq!(scene.call_all(), KEYS);
    scene.restart();
    assert_eq!(scene.call_all(), KEYS);
}

#[test]
fn the_key_may_come_from_the_environment() {
    let origin = Origin::start();
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG).upstream("api", &origin);
    let mut gateway = setup.variable("KEYGATE_CACHE_KEY", ONE).start();
    let key = gateway.key("--name a");
    for runs in [1, 0] {
        assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
        assert_eq!(gateway.metrics().total("keygate_argon2_runs_total"), runs);
        gateway.signal(Signal::TERM);
        gateway.wait();
        gateway = gateway.another();
    }
}

#[test]
fn a_cache_key_is_replaced_by_listing_both_for_a_while() {
    let Some(mut scene) = Scene::on(Sqlite, ONE) else { return };
    assert_eq!(scene.call_all(), KEYS);
    for keys in [format!("{OTHER}\n{ONE}\n"), OTHER.to_owned()] {
        scene.write_key(&keys);
        scene.restart();
        assert_eq!(scene.call_all(), 0, "{keys}");
    }
    // One that was never listed beside the old one begins anew, and nobody is refused.
    scene.write_key(ONE);
    scene.restart();
    assert_eq!(scene.call_all(), KEYS);
}

#[rstest]
fn what_is_kept_holds_for_its_own_secret_and_hash_alone(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(mut scene) = Scene::on(kind, ONE) else { return };
    scene.call_all();
    scene.gateway.signal(Signal::TERM);
    scene.gateway.wait();
    // What somebody who may write to the store might try, and what an operator might do by hand.
    let [victim, thief, changed] = &scene.keys[..3] else { unreachable!("there are more") };
    let of = |key: &MintedKey| {
        format!("(SELECT c.cache_mac FROM secrets c WHERE c.key_id = '{}')", key.id())
    };
    let store = scene.gateway.store();
    store.sql(&format!(
        "UPDATE secrets SET cache_mac = {} WHERE key_id = '{}'",
        of(thief),
        victim.id()
    ));
    let phc = format!("(SELECT c.phc FROM secrets c WHERE c.key_id = '{}')", thief.id());
    store.sql(&format!("UPDATE secrets SET phc = {phc} WHERE key_id = '{}'", changed.id()));
    scene.gateway = scene.gateway.another();
    assert_eq!(scene.status(changed.secret()), 401);
    assert_eq!(scene.status(victim.secret()), 200);
    assert_eq!(scene.status(thief.secret()), 200);
    assert_eq!(scene.argon2_runs(), 2, "of the victim's secret and of the changed one");
}

#[test]
fn a_key_that_was_revoked_meanwhile_is_refused() {
    let Some(mut scene) = Scene::on(Sqlite, ONE) else { return };
    scene.call_all();
    scene.gateway.signal(Signal::TERM);
    scene.gateway.wait();
    let revoked = &scene.keys[0];
    scene.gateway.run(&format!("key revoke {} --no-wait", revoked.id()));
    scene.gateway = scene.gateway.another();
    assert_eq!(scene.status(scene.keys[0].secret()), 401);
    assert_eq!(scene.status(scene.keys[1].secret()), 200);
}

#[test]
fn a_cache_key_that_cannot_be_had_is_an_error_at_its_setting() {
    let dir = TempDir::new().expect("a directory can be made");
    let file = dir.path().join("cache.key");
    let origin = Origin::start();
    let cache = format!("[cache]\nkey_file = \"{}\"", file.display());
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG).config(&cache);
    let (installation, _store) = setup.upstream("api", &origin).install();
    for (text, complaint) in [
        (None, "cannot be read: No such file"),
        (Some("too short"), "line 1 is shorter than 32 characters"),
        (Some(""), "holds no cache key"),
    ] {
        if let Some(text) = text {
            fs::write(&file, text).expect("a file can be written");
        }
        for command in [&["config", "check"][..], &["serve"]] {
            let printed = installation.try_run(command);
            assert_eq!(printed.code, 2, "{}", printed.err);
            assert!(printed.err.contains(complaint), "{}", printed.err);
            assert!(!printed.err.contains("too short"), "{}", printed.err);
        }
    }
    fs::write(&file, ONE).expect("a file can be written");
    installation.run(&["config", "check"]);
}
