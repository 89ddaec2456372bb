//! What goes by the clock, on the control plane: rotation on schedule, keys that end soon, and use
//! that is unlike a key's own.
//!
//! The one rule: nothing is told twice. Every instance looks every few seconds; what one tells, it
//! writes down in the same transaction as the event. What stops a key whose rotation is enforced is
//! not here: the data plane knows that from memory.

mod judge;
pub mod unusual;

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;
use crate::domain::Clock;
use crate::store::{Result, Store, StoreError};

pub use judge::judge;

/// How often is looked: one small question where nothing is to be told.
const TICK: Duration = Duration::from_secs(5);
/// Keys to a question at most.
const PAGE: u32 = 500;

/// What the configuration says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// How long a rotation may be claimed.
    pub grace: Duration,
    /// Whether a key stops when that is over.
    pub enforced: bool,
    /// The path by which a key claims its new secret itself, where it can.
    pub claim: Option<String>,
    /// Whether unusual use is told of.
    pub unusual_usage: bool,
}

impl Terms {
    /// As the configuration has them.
    pub fn of(config: &Config) -> Self {
        Self {
            grace: config.keys.rotation_grace,
            enforced: config.keys.enforce_rotation,
            claim: config.rotation_claim.clone(),
            unusual_usage: config.unusual_usage,
        }
    }
}

/// Looks from time to time, for ever. While the store is away it waits.
pub async fn keep_time(store: &dyn Store, clock: &Clock, terms: impl Fn() -> Terms) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut hours, mut is_well) = (unusual::Hours::default(), true);
    loop {
        tick.tick().await;
        let (terms, now) = (terms(), clock.now());
        match look(store, &terms, now, &mut hours).await {
            Ok(()) => is_well = true,
            Err(error) if is_well => {
                tracing::warn!(%error, "what keys are to be told of could not be looked up yet");
                is_well = false;
            }
            Err(_) => {}
        }
    }
}

async fn look(
    store: &dyn Store,
    terms: &Terms,
    now: Timestamp,
    hours: &mut unusual::Hours,
) -> Result<()> {
    pass(store, terms, now).await?;
    if terms.unusual_usage && hours.are_to_be_looked_at(now) {
        unusual::pass(store, now).await?;
        hours.looked_at(now);
    }
    Ok(())
}

/// Tells what is to be told of keys by now; how much that was.
pub async fn pass(store: &dyn Store, terms: &Terms, now: Timestamp) -> Result<usize> {
    let mut told = 0;
    loop {
        let keys = store.keys_to_look_at(now, PAGE).await?;
        for key in &keys {
            match store.look_at_key(key, now, &|loaded| judge(loaded, terms, now)).await {
                Ok(more) => told += more,
                Err(error @ StoreError::Corrupt(_)) => {
                    tracing::error!(%error, "a key could not be looked at");
                }
                Err(error) => return Err(error),
            }
        }
        if keys.len() < PAGE as usize {
            return Ok(told);
        }
    }
}
