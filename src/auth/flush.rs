//! To the store, in batches and without anybody waiting: when secrets were last used, and the MACs of
//! those that were confirmed.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::Authenticator;
use super::sync::StoreState;
use crate::store::Store;

/// How often MACs are written: who restarts the gateway loses those of a second at most.
const MACS: Duration = Duration::from_secs(1);
/// How many of those go by from one writing of the last uses to the next: half a minute, for what is
/// told to the minute.
const USES_EVERY: u32 = 30;
/// Rows to a statement at most.
const BATCH: usize = 2_000;

/// Writes from time to time, for ever.
pub async fn keep_flushing(auth: &Authenticator, store: &dyn Store) {
    let mut tick = interval(MACS);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in (0..USES_EVERY).cycle() {
        tick.tick().await;
        if auth.sync.state() != StoreState::Live {
            continue;
        }
        flush_macs(auth, store).await;
        if turn == 0 {
            flush_uses(auth, store).await;
        }
    }
}

/// Writes all that is left, before the end.
pub async fn flush(auth: &Authenticator, store: &dyn Store) {
    if auth.sync.state() == StoreState::Live {
        flush_macs(auth, store).await;
        flush_uses(auth, store).await;
    }
}

async fn flush_macs(auth: &Authenticator, store: &dyn Store) {
    let mut macs = auth.macs.take();
    while !macs.is_empty() {
        let rest = macs.split_off(macs.len().min(BATCH));
        if let Err(error) = store.record_macs(&macs).await {
            tracing::warn!(%error, "the MACs of confirmed secrets could not be written yet");
            macs.extend(rest);
            return auth.macs.put_back(macs);
        }
        macs = rest;
    }
}

async fn flush_uses(auth: &Authenticator, store: &dyn Store) {
    let uses = auth.sync.table.take_uses();
    for batch in uses.chunks(BATCH) {
        if let Err(error) = store.record_last_use(batch).await {
            tracing::warn!(%error, "the last uses of secrets could not be written yet");
            auth.sync.table.put_back_uses(batch);
        }
    }
}
