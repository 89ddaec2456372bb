//! The books: what was used and spent, each request of it once.

use std::collections::BTreeMap;
use std::str::FromStr;

use async_trait::async_trait;
use jiff::Timestamp;

use super::Result;
use crate::domain::{JournalId, KeyId, LeaseId, Millionths, Month, OwnerId, Used, UsedInHour};

/// Records of a journal, in their order: all from one position up to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The journal.
    pub journal: JournalId,
    /// Whose part of it.
    pub worker: u32,
    /// How many records come before it.
    pub from: u64,
    /// The same once it is booked.
    pub to: u64,
    /// What they say, alike ones together or not; less than there is where some cannot be read.
    pub used: Vec<UsedInHour>,
    /// How much of leases was spent by them.
    pub leased: Vec<(LeaseId, Millionths)>,
    /// Those that are kept by themselves, beside the counts.
    pub requests: Vec<Used>,
}

/// How a booking went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booking {
    /// It is on the books.
    Done,
    /// Nothing was done: the books are at this position, and want the batch from there.
    At(u64),
}

/// Which usage is told: all that every given field says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// Of this key.
    pub key: Option<KeyId>,
    /// Of this owner.
    pub owner: Option<OwnerId>,
    /// From this moment's hour on; of what is only counted by day, from its day on.
    pub since: Option<Timestamp>,
}

/// By what usage is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageBy {
    /// By hour; what is old is told at the first hour of its day.
    Hour,
    /// By day, in UTC.
    Day,
    /// By key.
    Key,
    /// By owner.
    Owner,
    /// By the route's path.
    Route,
    /// By the answer's status.
    Status,
}

impl UsageBy {
    /// Every one.
    pub const ALL: [Self; 6] =
        [Self::Hour, Self::Day, Self::Key, Self::Owner, Self::Route, Self::Status];

    /// As commands and the API write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Key => "key",
            Self::Owner => "owner",
            Self::Route => "route",
            Self::Status => "status",
        }
    }
}

impl FromStr for UsageBy {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|by| by.name() == text).ok_or(())
    }
}

/// What was used by one hour, day, key, owner, route or status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRow {
    /// Which: an hour's beginning as RFC 3339, a day's date, an id, a path, a number.
    pub group: String,
    /// Requests that were answered.
    pub requests: u64,
    /// What they cost.
    pub cost: Millionths,
}

/// How long usage is kept in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Single requests from this moment on.
    pub requests_since: Timestamp,
    /// Counts by hour from this moment's day on; older ones are counted by day.
    pub hours_since: Timestamp,
    /// Journals that were heard of since.
    pub journals_since: Timestamp,
}

/// Usage and spending, kept.
#[async_trait]
pub trait Books: Send + Sync {
    /// Books a batch in one transaction, if the books are where it begins: so that each record is
    /// booked once, however often and by whomever it is brought. What was spent counts for the key and
    /// each ancestor, comes off the owner's credits, and off the lease that it was spent from. What
    /// crosses a threshold by it is in the outbox.
    async fn book(&self, batch: &Batch, now: Timestamp) -> Result<Booking>;
    /// How far a journal is booked, by worker; one that is not there is at 0.
    async fn booked(&self, journal: &JournalId) -> Result<BTreeMap<u32, u64>>;
    /// Says that a journal is in use still.
    async fn keep_journal(&self, journal: &JournalId, now: Timestamp) -> Result<()>;
    /// Forgets a journal that is no more.
    async fn forget_journal(&self, journal: &JournalId) -> Result<()>;

    /// Ends all leases of a holder: what is left of each flows back. How many there were.
    async fn release_leases(&self, holder: &JournalId) -> Result<usize>;
    /// Ends the leases whose time is over by the store's clock; how many there were.
    async fn release_expired_leases(&self) -> Result<usize>;

    /// What was used, in the order of its groups.
    async fn usage(&self, filter: &UsageFilter, by: UsageBy) -> Result<Vec<UsageRow>>;
    /// What these keys with all their descendants have spent in a month; one that is left out has
    /// spent nothing.
    async fn spent(&self, keys: &[KeyId], month: Month) -> Result<BTreeMap<KeyId, Millionths>>;
    /// Removes what is kept no longer, and rolls old hours into days. Safe to call again at any time.
    async fn tidy_usage(&self, kept: &Kept) -> Result<()>;
}
