//! Rotation on schedule, with the clock in the test's hand: what is answered, what is told, what
//! stops, each at its second.

mod answers;
mod commands;
mod told;
mod unusual;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use keygate::auth::mint::{Asker, Mint, NewKey};
use keygate::config::{self, Config, Environment, LoadedConfig};
use keygate::domain::{self, Actor, Clock, KeyWithSecrets};
use keygate::gateway::Gateway;
use keygate::store::Store;
use serde_json::Value;
use sqlx::{Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::load::get;
use crate::support::{Answer, Kind, MintedKey, Origin, TestStore, Wire, block_on, bulk, leaks};

const DAY: i64 = 86_400;
/// Every how many days the keys here are rotated.
const INTERVAL: i64 = 30;
/// When their rotation is due, in seconds after the start, and when the time to claim it is over.
const DUE: i64 = INTERVAL * DAY;
const ENDS: i64 = DUE + 7 * DAY;

/// A gateway on a runtime of its own, a store, and a clock for both.
struct Scene {
    clock: Clock,
    store: TestStore,
    hand: Arc<dyn Store>,
    config: Config,
    text: String,
    journals: Vec<TempDir>,
    address: SocketAddr,
    gateways: Vec<Gateway>,
    _origin: Origin,
    runtime: Runtime,
}

/// The time so many seconds after the start.
fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = "2026-03-01T00:00:00Z".parse().expect("this is a time");
    start + SignedDuration::from_secs(seconds)
}

impl Scene {
    /// `None` where there is no Postgres and one is asked for.
    fn on(kind: Kind, keys: &str) -> Option<Self> {
        let (origin, store) = (Origin::start(), TestStore::of(kind)?);
        let clock = Clock::standing_at(at(0));
        let text = format!(
            "[server]\nlisten = [\"127.0.0.1:0\"]\nworkers = 1\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [store]\nurl = \"{}\"\n[usage]\njournal = \"JOURNAL\"\n[limits]\nper_key = []\n[access_log]\nsample = 0.0\n\
             [scopes]\n\"a:read\" = \"Read\"\n[keys]\nrotation_grace = \"7d\"\n{keys}\n\
             argon2 = {{ memory = \"64KiB\", iterations = 1, parallelism = 1 }}\n\
             [upstreams.api]\ntargets = [\"http://{}\"]\n\
             [[routes]]\npath = \"/**\"\nupstream = \"api\"\n\
             [[routes]]\npath = \"/scoped\"\nscopes = [\"a:read\"]\nupstream = \"api\"\n",
            store.url(),
            origin.address()
        );
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let hand = runtime.block_on(bulk::open(&store));
        runtime.block_on(hand.migrate()).expect("the schema is made");
        let config = loaded(&text, Path::new("journal")).config;
        let mut scene = Self {
            clock,
            store,
            hand,
            config,
            text,
            journals: Vec::new(),
            address: ([127, 0, 0, 1], 0).into(),
            gateways: Vec::new(),
            _origin: origin,
            runtime,
        };
        scene.address = scene.serve();
        Some(scene)
    }

    /// Starts an instance; where it listens.
    fn serve(&mut self) -> SocketAddr {
        let journal = TempDir::new().expect("a directory can be made");
        let loaded = loaded(&self.text, journal.path());
        self.journals.push(journal);
        let start = Gateway::start(loaded, Environment::default(), self.clock.clone());
        let gateway = self.runtime.block_on(start).expect("the gateway starts");
        let address = gateway.data_addresses()[0];
        self.gateways.push(gateway);
        address
    }

    fn by_hand<T>(&self, work: impl AsyncFnOnce(Mint<'_>) -> T) -> T {
        let asker = Asker { actor: Actor::Command("test".into()), address: None };
        let mint =
            Mint { store: &*self.hand, config: &self.config, clock: &self.clock, asker: &asker };
        self.runtime.block_on(work(mint))
    }

    /// Mints a key that is rotated every thirty days.
    fn key(&self) -> (KeyWithSecrets, MintedKey) {
        let new = NewKey {
            name: "ci".to_owned(),
            rotation_interval_days: u32::try_from(INTERVAL).ok(),
            ..NewKey::default()
        };
        let (held, minted) = self.by_hand(async |mint| mint.create(new).await.expect("it is made"));
        let key = MintedKey::known(held.key.id.as_str(), minted.text.expose());
        (held, key)
    }

    /// Gives a key a new secret, with the usual grace.
    fn rotate(&self, key: &MintedKey) -> MintedKey {
        let (id, grace) = (domain::KeyId::from_text(key.id()), self.config.keys.rotation_grace);
        let rotated = self.by_hand(async |mint| mint.rotate(&id, grace, false).await);
        MintedKey::known(key.id(), rotated.expect("it is rotated").1.text.expose())
    }

    /// Moves the clock to so many seconds after the start.
    fn move_to(&self, seconds: i64) {
        self.clock.set(at(seconds));
    }

    fn call(&self, path: &str, key: &MintedKey) -> Answer {
        let mut wire = Wire::connect(self.address);
        wire.send(get(path, key.secret()));
        wire.answer()
    }

    fn status(&self, key: &MintedKey) -> u16 {
        self.call("/a", key).status
    }
}

/// The configuration with that folder for its journal.
fn loaded(text: &str, journal: &Path) -> LoadedConfig {
    let text = text.replace("JOURNAL", &journal.display().to_string());
    let loaded = config::parse(&text, Path::new("keygate.toml"), &Environment::default());
    loaded.expect("this is a configuration")
}

impl Drop for Scene {
    fn drop(&mut self) {
        leaks::search("the store", &self.store.dump());
    }
}

/// The events of that kind: what each is about, and what it says.
fn events(store: &TestStore, kind: &str) -> Vec<(String, Value)> {
    let ask = "SELECT subject, data FROM events WHERE kind = $1 ORDER BY id";
    let url = store.url();
    let rows: Result<Vec<(String, String)>, sqlx::Error> = block_on(async {
        if url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&url).await?;
            sqlx::query_as(ask).bind(kind).fetch_all(&mut connection).await
        } else {
            let mut connection = PgConnection::connect(&url).await?;
            sqlx::query_as(ask).bind(kind).fetch_all(&mut connection).await
        }
    });
    let rows = rows.expect("events can be read");
    let parsed = |data: &str| serde_json::from_str(data).expect("an event's data is JSON");
    rows.into_iter().map(|(subject, data)| (subject, parsed(&data))).collect()
}
