//! The wall clock moved: a gateway inside the test, with a clock in the test's hand.

use std::net::SocketAddr;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use keygate::config::{self, Environment};
use keygate::domain::Clock;
use keygate::gateway::Gateway;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::load::get;
use crate::support::{Answer, MintedKey, Origin, TestStore, Wire, bulk, leaks};

/// A gateway on a runtime of its own.
struct Scene {
    clock: Clock,
    start: Timestamp,
    store: TestStore,
    _origin: Origin,
    _journal: TempDir,
    address: SocketAddr,
    _gateway: Gateway,
    _runtime: Runtime,
}

impl Scene {
    fn with(per_key: &str) -> Self {
        let (origin, store) = (Origin::start(), TestStore::sqlite());
        let start: Timestamp = "2026-05-31T23:59:00Z".parse().expect("this is a time");
        let clock = Clock::standing_at(start);
        let journal = TempDir::new().expect("a directory can be made");
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [store]\nurl = \"{}\"\n[usage]\njournal = \"{}\"\n\
             [limits]\nper_key = [{per_key}]\n\
             [access_log]\nsample = 0.0\n[scopes]\n\"agents:read\" = \"Read\"\n\
             [upstreams.api]\ntargets = [\"http://{}\"]\n\
             [[routes]]\npath = \"/**\"\nupstream = \"api\"\n",
            store.url(),
            journal.path().display(),
            origin.address()
        );
        let environment = Environment::default();
        let loaded = config::parse(&text, Path::new("keygate.toml"), &environment);
        let loaded = loaded.expect("this is a configuration");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let gateway = runtime.block_on(Gateway::start(loaded, environment, clock.clone()));
        let gateway = gateway.expect("the gateway starts");
        let address = gateway.data_addresses()[0];
        Self {
            clock,
            start,
            store,
            _origin: origin,
            _journal: journal,
            address,
            _gateway: gateway,
            _runtime: runtime,
        }
    }

    /// A key that ends so many seconds after the start.
    fn key(&self, ends_after: Option<i64>) -> MintedKey {
        let end = ends_after.map(|seconds| self.start + SignedDuration::from_secs(seconds));
        bulk::insert(&self.store, 1, |_, key| key.expires_at = end).remove(0)
    }

    /// Moves the clock to so many seconds after the start.
    fn move_to(&self, seconds: i64) {
        self.clock.set(self.start + SignedDuration::from_secs(seconds));
    }

    fn call(&self, key: &MintedKey) -> Answer {
        let mut wire = Wire::connect(self.address);
        wire.send(get("/a", key.secret()));
        wire.answer()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        leaks::search("the store", &self.store.dump());
    }
}

#[test]
fn an_end_that_was_reached_stays_reached_when_the_clock_jumps_back() {
    let scene = Scene::with("");
    let (ends, stays) = (scene.key(Some(60)), scene.key(None));
    assert_eq!(scene.call(&ends).status, 200);
    for (seconds, status) in [(59, 200), (60, 401), (61, 401), (0, 401), (-86_400, 401)] {
        scene.move_to(seconds);
        assert_eq!(scene.call(&ends).status, status, "{seconds} s after the start");
        assert_eq!(scene.call(&stays).status, 200);
    }
}

#[test]
fn a_limit_counts_by_no_wall_clock() {
    let scene = Scene::with(r#""2/hour""#);
    let key = scene.key(None);
    assert_eq!(scene.call(&key).status, 200);
    assert_eq!(scene.call(&key).status, 200);
    for seconds in [7_200, -7_200, 31 * 86_400] {
        scene.move_to(seconds);
        let refused = scene.call(&key);
        assert_eq!(refused.status, 429, "{seconds} s after the start");
        let reset = refused.number("x-ratelimit-reset").cast_signed();
        let ends_in = reset - (scene.start.as_second() + seconds);
        assert!((3_500..=3_601).contains(&ends_in), "whole in {ends_in} s by the client's clock");
    }
}
