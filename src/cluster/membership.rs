//! An instance among those that share its store: made known at its start, forgotten at its end.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::timeout;

use super::reporter::Reporter;
use crate::domain::{Instance, InstanceId};
use crate::store::Store;

/// The longest that a start waits to be known, and an end to be forgotten.
const PATIENCE: Duration = Duration::from_secs(2);

/// This instance's place among the running ones. When it is dropped, the instance leaves too.
pub struct Membership {
    id: InstanceId,
    config_hash: watch::Sender<String>,
    stop: watch::Sender<bool>,
    stage: watch::Receiver<Stage>,
    running: watch::Receiver<usize>,
}

/// How far the reporter has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has not tried to report yet.
    Joining,
    /// It has, and goes on.
    Member,
    /// It has ended.
    Left,
}

impl Membership {
    /// Starts to report this instance to the store, in a task of its own. `applied` follows the
    /// revision that is in force here; `config_hash` is `LoadedConfig::hash`.
    pub fn join(
        store: Arc<dyn Store>,
        applied: watch::Receiver<i64>,
        config_hash: String,
        now: Timestamp,
    ) -> Self {
        let me = Instance {
            id: InstanceId::mint(),
            host: host(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: now,
            revision: 0,
            config_hash: config_hash.clone(),
        };
        let id = me.id.clone();
        let (config_hash, configured) = watch::channel(config_hash);
        let (stop, stopped) = watch::channel(false);
        let (stages, stage) = watch::channel(Stage::Joining);
        let (counts, running) = watch::channel(1);
        let reporter = Reporter::new(store, me, applied, configured, counts);
        tokio::spawn(reporter.run(stopped, stages));
        Self { id, config_hash, stop, stage, running }
    }

    /// Which instance this one is.
    pub fn id(&self) -> InstanceId {
        self.id.clone()
    }

    /// Waits until the store knows of this instance or could not be told. Whoever serves only from
    /// then on is in every receipt.
    pub async fn known(&self) {
        let mut stage = self.stage.clone();
        let _ = timeout(PATIENCE, stage.wait_for(|stage| *stage != Stage::Joining)).await;
    }

    /// Follows how many instances run, this one counted: 1 at least, looked at with each heartbeat.
    /// While the store is away it stays what it was.
    pub fn running(&self) -> watch::Receiver<usize> {
        self.running.clone()
    }

    /// Says that another configuration is in force.
    pub fn set_config_hash(&self, hash: String) {
        self.config_hash.send_replace(hash);
    }

    /// Has the store forget this instance, which serves nobody any more.
    pub async fn leave(&self) {
        self.stop.send_replace(true);
        let mut stage = self.stage.clone();
        let _ = timeout(PATIENCE, stage.wait_for(|stage| *stage == Stage::Left)).await;
    }
}

/// Where this process is found.
fn host() -> String {
    let system = rustix::system::uname();
    format!("{} (pid {})", system.nodename().to_string_lossy(), std::process::id())
}
