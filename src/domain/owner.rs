//! Owners: the accounts or organizations that keys belong to.

use jiff::Timestamp;
use serde::Serialize;

use super::id::OwnerId;

/// An account or organization. Disabling it stops all its keys at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Owner {
    /// `own_…`, or `default`.
    pub id: OwnerId,
    /// Unique among owners.
    pub name: String,
    /// Whether its keys are refused.
    #[serde(rename = "status", serialize_with = "status")]
    pub disabled: bool,
    /// How often its credits were changed by somebody; from the first time on its keys spend them.
    #[serde(skip)]
    pub credit_changes: i64,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Owner {
    /// An owner that was made just now.
    pub fn new(id: OwnerId, name: String, now: Timestamp) -> Self {
        Self { id, name, disabled: false, credit_changes: 0, created_at: now }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands fields over by reference")]
fn status<S: serde::Serializer>(disabled: &bool, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *disabled { "disabled" } else { "active" })
}
