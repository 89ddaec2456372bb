//! A change made anywhere is in force on the running gateway 100 ms after its commit.

use std::time::Duration;

use keygate::domain::{Key, KeyId};
use rstest::rstest;
use tokio::time::Instant;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::load::{Load, get};
use crate::support::{MintedKey, Origin, PATIENCE, TestGateway, TestStore, Wire, bulk, until};

const IN_FORCE_AFTER: Duration = Duration::from_millis(100);
/// A machine that stood still for a moment is not the gateway's fault; so often in a row is.
const ATTEMPTS: usize = 8;
const CONFIG: &str = r#"
[limits]
per_key = ["100000000/min"]
[scopes]
"agents:read" = "Read agent information"
"agents:write" = "Change agents"
[[routes]]
path = "/read"
scopes = ["agents:read"]
upstream = "api"
[[routes]]
path = "/write"
scopes = ["agents:write"]
upstream = "api"
"#;

/// A gateway, and a client that calls as fast as it can.
struct Scene {
    origin: Origin,
    gateway: TestGateway,
    wire: Wire,
    /// How long after its command the slowest change was not in force yet.
    slowest: Duration,
}

impl Scene {
    /// `None` where there is no Postgres and one is asked for.
    fn on(kind: Kind) -> Option<Self> {
        let origin = Origin::start();
        let setup = TestGateway::with(TestStore::of(kind)?).config(CONFIG);
        let gateway = setup.upstream("api", &origin).start();
        let wire = Wire::connect(gateway.address());
        Some(Self { origin, gateway, wire, slowest: Duration::ZERO })
    }

    /// A key that may read.
    fn reader(&self, name: &str) -> MintedKey {
        self.gateway.key(&format!("--name {name} --scope agents:read"))
    }

    fn status(&mut self, path: &str, key: &MintedKey) -> u16 {
        self.wire.send(get(path, key.secret()));
        self.wire.answer().status
    }

    /// Makes a change in another process, and calls on until it is in force and stays so.
    fn change(&mut self, command: &str, path: &str, key: &MintedKey, status: u16) {
        self.gateway.run(command);
        self.sees(path, key, status);
    }

    /// Calls on until a change that was just made is in force.
    fn sees(&mut self, path: &str, key: &MintedKey, status: u16) {
        let committed = Instant::now();
        loop {
            let asked = committed.elapsed();
            if self.status(path, key) == status {
                break;
            }
            assert!(asked < PATIENCE, "a change is never in force");
            self.slowest = self.slowest.max(asked);
        }
        assert_eq!(self.status(path, key), status, "a change does not stay in force");
    }
}

/// Plays a scene whose every change must be in force in time.
fn in_time(kind: Kind, play: impl Fn(&mut Scene)) {
    let mut late = Vec::new();
    while late.len() < ATTEMPTS {
        let Some(mut scene) = Scene::on(kind) else { return };
        play(&mut scene);
        if scene.slowest < IN_FORCE_AFTER {
            return;
        }
        late.push(scene.slowest);
    }
    panic!("a change was not in force in time: {late:?}");
}

#[rstest]
fn a_revoked_key_is_refused(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        let (key, other) = (scene.reader("a"), scene.reader("b"));
        assert_eq!((scene.status("/read", &key), scene.status("/read", &other)), (200, 200));
        scene.change(&format!("key revoke {} --no-wait", key.id()), "/read", &key, 401);
        assert_eq!(scene.status("/read", &other), 200);
    });
}

#[rstest]
fn a_new_key_works(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        for name in ["a", "b", "c"] {
            let key = scene.reader(name);
            scene.sees("/read", &key, 200);
        }
    });
}

#[rstest]
fn a_disabled_key_is_refused_and_an_enabled_one_works(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        let key = scene.reader("a");
        assert_eq!(scene.status("/read", &key), 200);
        let disable = "disable --no-wait";
        for (verb, status) in [(disable, 401), ("enable", 200), (disable, 401)] {
            scene.change(&format!("key {verb} {}", key.id()), "/read", &key, status);
        }
    });
}

#[rstest]
fn a_disabled_owner_stops_its_keys_alone(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        scene.gateway.run("owner create acme");
        let key = scene.gateway.key("--owner acme --name a --scope agents:read");
        let other = scene.reader("b");
        assert_eq!((scene.status("/read", &key), scene.status("/read", &other)), (200, 200));
        for (verb, status) in [("disable --no-wait", 401), ("enable", 200)] {
            scene.change(&format!("owner {verb} acme"), "/read", &key, status);
            assert_eq!(scene.status("/read", &other), 200);
        }
    });
}

#[rstest]
fn changed_scopes_are_the_keys_scopes(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        let key = scene.reader("a");
        assert_eq!((scene.status("/read", &key), scene.status("/write", &key)), (200, 403));
        let update = format!("key update {} --scope agents:write", key.id());
        scene.change(&update, "/write", &key, 200);
        assert_eq!(scene.status("/read", &key), 403);
        assert_eq!(scene.origin.last().header("x-auth-scopes"), Some("agents:write"));
    });
}

#[rstest]
fn changed_limits_are_the_keys_limits(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        let key = scene.reader("a");
        assert_eq!(scene.status("/read", &key), 200);
        for (limit, status) in [("1/hour", 429), ("100000000/hour", 200)] {
            let update = format!("key update {} --limit {limit}", key.id());
            scene.change(&update, "/read", &key, status);
        }
    });
}

#[rstest]
fn a_changed_allowlist_and_a_changed_expiry_hold(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        let key = scene.reader("a");
        assert_eq!(scene.status("/read", &key), 200);
        for (range, status) in [("203.0.113.0/24", 403), ("127.0.0.0/8", 200)] {
            let update = format!("key update {} --allow-ip {range}", key.id());
            scene.change(&update, "/read", &key, status);
        }
        scene.gateway.run(&format!("key update {} --expires 1s", key.id()));
        until("the key has expired", || scene.status("/read", &key) == 401);
    });
}

#[rstest]
fn a_rotation_without_grace_ends_the_old_secret(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        let old = scene.reader("a");
        assert_eq!(scene.status("/read", &old), 200);
        let new = scene.gateway.mint(&format!("key rotate {} --grace 0", old.id()));
        scene.sees("/read", &old, 401);
        assert_eq!(scene.status("/read", &new), 200);
    });
}

#[rstest]
fn one_revoked_secret_ends_and_the_other_goes_on(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        let old = scene.reader("a");
        let new = scene.gateway.mint(&format!("key rotate {} --grace 7d", old.id()));
        scene.sees("/read", &new, 200);
        assert_eq!(scene.status("/read", &old), 200);
        let secret_id = &old.secret()["sk_live_".len()..][..8];
        let revoke = format!("key revoke {} --secret {secret_id} --no-wait", old.id());
        scene.change(&revoke, "/read", &old, 401);
        assert_eq!(scene.status("/read", &new), 200);
    });
}

#[rstest]
fn what_happens_to_a_parent_happens_to_its_children(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        let parent = scene.reader("parent");
        let of_parent = |_, key: &mut Key| key.parent_id = Some(KeyId::from_text(parent.id()));
        let child = &bulk::insert(scene.gateway.store(), 1, of_parent)[0];
        scene.sees("/read", child, 200);
        let (disable, revoke) = ("disable --no-wait", "revoke --no-wait");
        for (verb, status) in [(disable, 401), ("enable", 200), (revoke, 401)] {
            scene.change(&format!("key {verb} {}", parent.id()), "/read", child, status);
        }
    });
}

#[rstest]
#[case(Sqlite, "1", "0")]
#[case(Postgres, "true", "false")]
fn what_is_changed_by_hand_in_sql_holds(#[case] kind: Kind, #[case] yes: &str, #[case] no: &str) {
    in_time(kind, |scene| {
        let key = scene.reader("a");
        assert_eq!(scene.status("/read", &key), 200);
        let id = key.id();
        for (statement, status) in [
            (format!("UPDATE keys SET disabled = {yes} WHERE id = '{id}'"), 401),
            (format!("UPDATE keys SET disabled = {no} WHERE id = '{id}'"), 200),
            (format!("UPDATE owners SET disabled = {yes}"), 401),
            (format!("UPDATE owners SET disabled = {no}"), 200),
            (format!("DELETE FROM secrets WHERE key_id = '{id}'"), 401),
        ] {
            scene.gateway.store().sql(&statement);
            scene.sees("/read", &key, status);
        }
    });
}

#[rstest]
fn changes_are_in_force_while_the_gateway_is_busy(#[values(Sqlite, Postgres)] kind: Kind) {
    in_time(kind, |scene| {
        let (busy, key) = (scene.reader("busy"), scene.reader("a"));
        let load = Load::start(scene.gateway.address(), vec![get("/read", busy.secret()); 2]);
        assert_eq!(scene.status("/read", &key), 200);
        scene.change(&format!("key revoke {} --no-wait", key.id()), "/read", &key, 401);
        assert!(load.stop().keys().eq([&200]));
    });
}

#[test]
fn what_one_instance_is_told_the_others_know() {
    in_time(Postgres, |scene| {
        let other = scene.gateway.another();
        let key = scene.reader("a");
        scene.sees("/read", &key, 200);
        scene.wire = Wire::connect(other.address());
        scene.sees("/read", &key, 200);
        scene.change(&format!("key revoke {} --no-wait", key.id()), "/read", &key, 401);
    });
}

/// The log of changes holds the last hundred thousand. Who missed more finds its own out one by one.
#[rstest]
#[case(Sqlite, "1")]
#[case(Postgres, "true")]
fn what_the_log_does_not_tell_any_more_is_found_out_before_the_next_use(
    #[case] kind: Kind,
    #[case] yes: &str,
) {
    in_time(kind, |scene| {
        let [untouched, disabled, deleted, parent] =
            ["a", "b", "c", "d"].map(|name| scene.reader(name));
        let of_parent = |_, key: &mut Key| key.parent_id = Some(KeyId::from_text(parent.id()));
        let child = &bulk::insert(scene.gateway.store(), 1, of_parent)[0];
        for key in [&untouched, &disabled, &deleted, &parent, child] {
            scene.sees("/read", key, 200);
        }
        let runs = scene.gateway.metrics().total("keygate_argon2_runs_total");
        let ids = |keys: [&MintedKey; 2]| keys.map(|key| format!("'{}'", key.id())).join(", ");
        scene.gateway.store().sql(&format!(
            "BEGIN; UPDATE keys SET disabled = {yes} WHERE id IN ({}); \
             DELETE FROM keys WHERE id = '{}'; DELETE FROM changes; \
             INSERT INTO changes (kind, id) VALUES ('owner', 'nobody'); COMMIT",
            ids([&disabled, &parent]),
            deleted.id()
        ));
        for key in [&disabled, &deleted, &parent, child] {
            scene.sees("/read", key, 401);
        }
        scene.sees("/read", &untouched, 200);
        let fresh = scene.reader("e");
        scene.sees("/read", &fresh, 200);
        let runs = scene.gateway.metrics().total("keygate_argon2_runs_total") - runs;
        assert_eq!(runs, 1, "of the key that is new");
    });
}
