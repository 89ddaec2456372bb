//! What the measurements stand on: instances, their store, and the store by the library.

use std::fs;
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use keygate::domain::{Act, Clock, KeyId};
use keygate::store::{KeyPatch, Store};
use sqlx::{Connection as _, PgConnection};
use tokio::runtime::{Builder, Runtime};

use crate::support::installation::Setup;
use crate::support::{MintedKey, TestGateway, TestStore, bulk};

/// One route behind one scope, a limit that is counted and never reached, no access log.
pub const CONFIG: &str = r#"
[limits]
per_key = ["100000000/min"]
[scopes]
"agents:read" = "Read agent information"
[[routes]]
path = "/**"
scopes = ["agents:read"]
upstream = "api"
[access_log]
sample = 0.0
"#;

/// A path of the route.
pub const PATH: &str = "/v1/items/42";
/// What the route asks for; keys of the harness have it from the start.
pub const SCOPE: &str = "agents:read";

/// The machine and the programs, for people.
pub fn measured_on() -> Result<String> {
    let cores = thread::available_parallelism()?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    Ok(format!("keygate {version}, {cores} cores, load average before {load}"))
}

/// An empty database on a server that only this measurement uses.
pub fn postgres() -> Result<TestStore> {
    TestStore::own_postgres().context("Debian's postgresql is needed")
}

/// A gateway on that store whose upstream is at that address.
pub fn setup(store: TestStore, upstream: impl std::fmt::Display) -> Setup {
    let target = format!("[upstreams.api]\ntargets = [\"http://{upstream}\"]");
    TestGateway::with(store).config(CONFIG).config(&target)
}

/// So many instances on that store.
pub fn instances(
    count: usize,
    store: TestStore,
    upstream: impl std::fmt::Display,
) -> Vec<TestGateway> {
    let mut instances = vec![setup(store, upstream).start()];
    while instances.len() < count {
        let another = instances[0].another();
        instances.push(another);
    }
    instances
}

/// The store as the commands have it, without a process for each.
pub struct Library {
    runtime: Runtime,
    store: Arc<dyn Store>,
}

impl Library {
    /// Opens it; its connections stay.
    pub fn open(store: &TestStore) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let store = runtime.block_on(bulk::open(store));
        Ok(Self { runtime, store })
    }

    /// Does something with the store, and returns when it is done.
    pub fn run<T>(
        &self,
        work: impl AsyncFnOnce(&dyn Store) -> keygate::store::Result<T>,
    ) -> Result<T> {
        Ok(self.runtime.block_on(work(&*self.store))?)
    }

    /// Gives a key exactly these scopes.
    pub fn set_scopes(&self, key: &KeyId, scopes: &[&str]) -> Result<()> {
        let scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        let patch = KeyPatch { scopes: Some(scopes), ..KeyPatch::default() };
        let there =
            self.run(async |store| store.update_key(&Act::own(now()), key, &patch).await)?;
        anyhow::ensure!(there, "the key is gone");
        Ok(())
    }

    /// Ends a key.
    pub fn revoke(&self, key: &KeyId) -> Result<()> {
        let ended =
            self.run(async |store| store.revoke_key(&Act::own(now()), key, None, now()).await)?;
        anyhow::ensure!(ended == 1, "{ended} keys were revoked instead of one");
        Ok(())
    }
}

/// A minted key's id as the library takes it.
pub fn id(key: &MintedKey) -> KeyId {
    KeyId::from_text(key.id())
}

/// A connection for statements that keygate knows nothing of.
pub struct ByHand {
    runtime: Runtime,
    connection: PgConnection,
}

impl ByHand {
    /// Connects to the store's database.
    pub fn connect(store: &TestStore) -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connection = runtime.block_on(PgConnection::connect(&store.url()))?;
        Ok(Self { runtime, connection })
    }

    /// Every number in the first column of an answer.
    pub fn numbers(&mut self, statement: &'static str) -> Result<Vec<i32>> {
        let rows = sqlx::query_as(statement).fetch_all(&mut self.connection);
        let rows: Vec<(i32,)> = self.runtime.block_on(rows)?;
        Ok(rows.into_iter().map(|(number,)| number).collect())
    }
}

fn now() -> Timestamp {
    Clock::system().now()
}
