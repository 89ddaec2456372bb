//! The task that tells the store of this instance: a heartbeat a second, and the revision in force
//! as soon as it moves.
//!
//! One write at a time, always of the newest, so that no burst of changes is a burst of writes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::membership::Stage;
use crate::domain::Instance;
use crate::domain::instance::HEARTBEAT;
use crate::store::{Result, Store};

/// Between the beginnings of two writes, however fast the revision moves.
const SPACING: Duration = Duration::from_millis(10);

/// What the task works with.
pub(super) struct Reporter {
    store: Arc<dyn Store>,
    me: Instance,
    applied: watch::Receiver<i64>,
    config_hash: watch::Receiver<String>,
    running: watch::Sender<usize>,
    standing: Standing,
}

/// How the last write went: a change of it is told, once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    New,
    Known,
    Failing,
}

impl Reporter {
    /// Writes nothing yet.
    pub(super) fn new(
        store: Arc<dyn Store>,
        me: Instance,
        applied: watch::Receiver<i64>,
        config_hash: watch::Receiver<String>,
        running: watch::Sender<usize>,
    ) -> Self {
        Self { store, me, applied, config_hash, running, standing: Standing::New }
    }

    /// Reports until it is told to stop or nobody is left who could tell it; then has the store
    /// forget this instance.
    pub(super) async fn run(
        mut self,
        mut stopped: watch::Receiver<bool>,
        stage: watch::Sender<Stage>,
    ) {
        self.begin().await;
        loop {
            let begun = Instant::now();
            self.report().await;
            stage.send_replace(Stage::Member);
            tokio::select! {
                biased;
                _ = stopped.changed() => break,
                () = self.news(begun) => {}
            }
        }
        self.end().await;
        stage.send_replace(Stage::Left);
    }

    /// Until something was read of the store, there is nobody to be let in on what was true before,
    /// and no revision to report. Rows that a crash left a day ago are taken away.
    async fn begin(&mut self) {
        let _ = timeout(HEARTBEAT, self.applied.wait_for(|revision| *revision > 0)).await;
        // What is not taken away now is at the next start, and shown to nobody until then.
        let _ = self.store.prune_instances().await;
    }

    /// Writes down what is true now.
    async fn report(&mut self) {
        self.me.revision = *self.applied.borrow_and_update();
        self.me.config_hash.clone_from(&self.config_hash.borrow_and_update());
        let others = self.store.report_instance(&self.me).await;
        self.note(&others);
        if let Ok(others) = others {
            self.running.send_if_modified(|running| {
                let changed = *running != others + 1;
                *running = others + 1;
                changed
            });
        }
    }

    /// Waits until there is something to report, or it is time to be heard of again.
    async fn news(&mut self, last: Instant) {
        tokio::select! {
            Ok(()) = self.applied.changed() => {}
            Ok(()) = self.config_hash.changed() => {}
            () = sleep(HEARTBEAT) => {}
        }
        sleep_until(last + SPACING).await;
    }

    async fn end(&self) {
        // Where the store is away, the row tells by its age that nobody is there.
        if self.standing == Standing::Known
            && let Err(error) = self.store.forget_instance(&self.me.id).await
        {
            tracing::warn!(%error, "the store still lists this instance, which has stopped");
        }
    }

    /// That the store is away is told by who follows it; this is about who waits for receipts.
    fn note<T>(&mut self, outcome: &Result<T>) {
        let (before, instance) = (self.standing, &self.me.id);
        self.standing = if outcome.is_ok() { Standing::Known } else { Standing::Failing };
        match outcome {
            Ok(_) if before != self.standing => {
                tracing::info!(%instance, "this instance is in the store's list");
            }
            Err(error) if before != self.standing => {
                tracing::warn!(%error, "this instance is not heard of; no receipt counts it");
            }
            _ => {}
        }
    }
}
