//! What goes by the clock: keys' rotation on schedule, and what is told of keys ahead of time.
//!
//! A table, `calendar`, says of each key that has a schedule or an end when it is to be looked at
//! again; triggers set that to "now" whenever something changes that the answer depends on, by
//! whatever hand. So what is asked every few seconds is one small question by an index, however many
//! keys there are.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Loaded, Result};
use crate::domain::{Act, Event, KeyId, OwnerId};

/// Something to be told once.
#[derive(Clone, Debug, PartialEq)]
pub struct Telling {
    /// Which kind of telling; with the event's subject and `about` it names what is told once.
    pub kind: &'static str,
    /// What it is about: the moment when a rotation is due, when a key ends.
    pub about: Timestamp,
    /// What is told.
    pub event: Event,
}

/// What comes of a look at a key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// What is to be told, if it was not yet.
    pub tell: Vec<Telling>,
    /// When to look again; `None`: when something of the key has changed.
    pub again: Option<Timestamp>,
}

/// Decides what is told of a key as it stands.
pub type Judge<'a> = dyn Fn(&Loaded) -> Look + Send + Sync + 'a;

/// A key's requests by the hour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HourlyUse {
    /// Which key.
    pub key: KeyId,
    /// Whose it is.
    pub owner: OwnerId,
    /// Each hour with requests, by its beginning, and how many: the earliest first.
    pub hours: Vec<(Timestamp, u64)>,
}

/// Rotation on schedule, and what is told ahead of time.
#[async_trait]
pub trait Schedule {
    /// Sets every how many days a key's new secret is due, or takes the schedule away; whether there
    /// is such a key that is not revoked.
    async fn schedule_rotation(&self, act: &Act, id: &KeyId, days: Option<u32>) -> Result<bool>;
    /// Keys that are to be looked at by `now`, those first that have waited longest.
    async fn keys_to_look_at(&self, now: Timestamp, most: u32) -> Result<Vec<KeyId>>;
    /// Looks at a key that is to be looked at by `now`, and writes down what is told of it, in one
    /// transaction: of several instances one looks, and nothing is told twice. How much was told.
    async fn look_at_key(&self, id: &KeyId, now: Timestamp, judge: &Judge<'_>) -> Result<usize>;
    /// Tells something, unless it was told; whether it was told now.
    async fn tell_once(&self, telling: &Telling) -> Result<bool>;
    /// The use of living keys with at least so many requests in the hour that begins at `hour`: that
    /// hour and those before it from `since` on. Keys behind `after`, so many at most, by their ids.
    async fn busy_keys(
        &self,
        hour: Timestamp,
        least: u64,
        since: Timestamp,
        after: Option<&KeyId>,
        most: u32,
    ) -> Result<Vec<HourlyUse>>;
}
