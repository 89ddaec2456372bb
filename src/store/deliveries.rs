//! Events on their way to addresses: which go where, who is busy with them, and what became of them.
//!
//! To one address, events of one subject go one after the other: what is behind another one is not
//! due before that is delivered or failed.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;

use super::{Page, PageRequest, Result};
use crate::domain::{Act, DeliveryId, EventId};

/// What there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToDo {
    /// Whether there are events that were not made into deliveries.
    pub events: bool,
    /// Whether deliveries are due.
    pub deliveries: bool,
}

/// An address that an event goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Names it, whatever instance speaks of it.
    pub endpoint: String,
    /// Its URL as people may see it.
    pub url: String,
    /// Its host and port.
    pub host: String,
}

/// Which deliveries this instance can send.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// To these endpoints of the configuration, and to every hook.
    pub endpoints: Vec<String>,
    /// What is under way to each host and port.
    pub running: BTreeMap<String, usize>,
    /// So many at most to each of them, those under way counted.
    pub per_host: usize,
    /// So many at most.
    pub most: usize,
    /// The host that had its turn last: the others come before it.
    pub after: String,
}

impl Wanted {
    /// Hosts that have all that they may have.
    pub(super) fn busy(&self) -> impl Iterator<Item = &str> {
        let full = self.running.iter().filter(|(_, running)| **running >= self.per_host);
        full.map(|(host, _)| host.as_str())
    }

    /// How many more that host may have.
    pub(super) fn room(&self, host: &str) -> usize {
        self.per_host.saturating_sub(self.running.get(host).copied().unwrap_or(0))
    }
}

/// A delivery that this instance is busy with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which.
    pub id: DeliveryId,
    /// The number of this attempt, from 1: a later claim of another instance has a higher one.
    pub attempt: u32,
    /// The event's.
    pub event_id: EventId,
    /// The event's name.
    pub kind: String,
    /// When it happened.
    pub at: Timestamp,
    /// What is to know of it: a JSON object.
    pub data: String,
    /// The key or owner that it is about.
    pub subject: String,
    /// As [`Destination::endpoint`].
    pub endpoint: String,
    /// As [`Destination::host`].
    pub host: String,
    /// Of a hook, its URL and its encrypted secret.
    pub hook: Option<(String, String)>,
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Delivered,
    /// It was not; it is tried again.
    Again {
        /// When.
        at: Timestamp,
        /// Why it was not taken.
        error: String,
    },
    /// It was not, and is not tried again.
    Failed {
        /// Why.
        error: String,
    },
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryStatus {
    /// It waits, or is under way.
    Pending,
    /// It was taken.
    Delivered,
    /// It is given up.
    Failed,
}

impl DeliveryStatus {
    /// As the store and commands write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Pending, Self::Delivered, Self::Failed].into_iter().find(|it| it.name() == name)
    }
}

/// A delivery as lists show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Delivery {
    /// `dlv_…`.
    pub id: DeliveryId,
    /// The event's: what the endpoint knows it by.
    pub event_id: EventId,
    /// The event's name.
    #[serde(rename = "type")]
    pub kind: String,
    /// The key or owner that it is about.
    pub subject: String,
    /// Where it goes, without what only the endpoint should know.
    pub url: String,
    /// How it stands.
    pub status: DeliveryStatus,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next, while it is pending.
    pub next_attempt_at: Option<Timestamp>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// When the event happened.
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
}

/// Which deliveries are sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replay {
    /// The one of this id, or all of the event of this id, however they stand.
    Named(String),
    /// Those that had failed at the time of the act, the oldest first, so many at most.
    Failed(u32),
}

/// What waits, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Pending deliveries.
    pub pending: u64,
    /// When the event of the oldest of them happened.
    pub oldest: Option<Timestamp>,
}

/// Chooses where an event of that name goes, beside its subject's hook.
pub type Route<'a> = dyn Fn(&str) -> Vec<Destination> + Send + Sync + 'a;

/// Where deliveries are kept.
#[async_trait]
pub trait Deliveries {
    /// Whether there is anything to do. Writes nothing, and reads two indexes.
    async fn to_do(&self, now: Timestamp) -> Result<ToDo>;
    /// Makes events into deliveries, in their order, so many events at most; how many events that
    /// were. Of several instances one at a time does it.
    async fn dispatch(&self, route: &Route<'_>, now: Timestamp, most: u32) -> Result<u32>;
    /// Takes due deliveries on, each the first of its subject to its endpoint. Until `until`
    /// nobody else takes them.
    async fn claim(&self, wanted: &Wanted, now: Timestamp, until: Timestamp) -> Result<Vec<Claim>>;
    /// Writes down what came of it, unless somebody else has taken it on meanwhile; the next one
    /// of its subject is due then.
    async fn settle(&self, claim: &Claim, outcome: &Outcome, now: Timestamp) -> Result<()>;
    /// Deliveries, newest first.
    async fn deliveries(
        &self,
        status: Option<DeliveryStatus>,
        page: &PageRequest,
    ) -> Result<Page<Delivery>>;
    /// Has deliveries sent anew, at once and as if they never had been; which those are.
    async fn replay(&self, act: &Act, which: &Replay) -> Result<Vec<DeliveryId>>;
    /// What waits.
    async fn backlog(&self) -> Result<Backlog>;
    /// Gives up what no instance has known the endpoint of since `before`; how many that were.
    async fn abandon(&self, known: &[String], before: Timestamp, now: Timestamp) -> Result<u64>;
    /// Removes deliveries that were taken before `delivered` and failed before `failed`, and events
    /// from before `delivered` that nothing tells of any more; whether there may be more.
    async fn prune_deliveries(&self, delivered: Timestamp, failed: Timestamp) -> Result<bool>;
}
