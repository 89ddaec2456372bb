//! What is kept of an answered request: when, whose, where, how it was answered, what it cost.

use jiff::Timestamp;

use super::id::{KeyId, OwnerId};
use super::money::Millionths;

/// One answered request, on its way to the books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// When its answer began.
    pub at: Timestamp,
    /// Its name, as the client and the upstream know it: 1 to 64 characters.
    pub request_id: String,
    /// Whose it was.
    pub key: KeyId,
    /// Whose key that was.
    pub owner: OwnerId,
    /// The route's path, as the configuration writes it.
    pub route: String,
    /// What the upstream answered.
    pub status: u16,
    /// What it cost.
    pub cost: Millionths,
    /// The lease that it was spent from, and how much of the cost was.
    pub lease: Option<(LeaseId, Millionths)>,
}

/// Answered requests that are alike: of one key on one route within one hour, with one status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedInHour {
    /// When the hour began.
    pub hour: Timestamp,
    /// Whose they were.
    pub key: KeyId,
    /// Whose key that was.
    pub owner: OwnerId,
    /// The route's path, as the configuration writes it.
    pub route: String,
    /// What the upstream answered.
    pub status: u16,
    /// How many they were.
    pub requests: u64,
    /// What they cost together.
    pub cost: Millionths,
}

/// Names a lease: a random number of whoever took it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LeaseId(i64);

impl LeaseId {
    /// The number, never 0.
    pub fn number(self) -> i64 {
        self.0
    }

    /// The lease of that number; 0 is none.
    pub fn from_number(number: i64) -> Option<Self> {
        (number != 0).then_some(Self(number))
    }
}
