//! A request that was refused, as it is held for a while to be explained.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::explanation::Explanation;
use super::id::{KeyId, OwnerId};
use super::refusal::Reason;

/// A refused request with every check's outcome at that moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RefusedRequest {
    /// As the client was told it.
    pub request_id: String,
    /// When it came.
    pub at: Timestamp,
    /// From where.
    pub client: IpAddr,
    /// Why it was refused.
    pub reason: Reason,
    /// What it was answered with.
    pub status: u16,
    /// Whose key it came with, where that is known.
    pub key_id: Option<KeyId>,
    /// What people call that key.
    pub key_name: Option<String>,
    /// The key's owner.
    pub owner_id: Option<OwnerId>,
    /// What was asked for, and each check; no part of a secret.
    #[serde(flatten)]
    pub explanation: Explanation,
}
