//! The audit log's rows.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// One change, as the audit log keeps it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditRow {
    /// `aud_…`.
    pub id: String,
    /// When.
    pub at: Timestamp,
    /// Who: see [`super::Actor`].
    pub actor: String,
    /// What: `key.create`, `key.update`, ….
    pub action: String,
    /// The id of what was changed.
    pub target: String,
    /// From where, where that was over the network.
    pub address: Option<String>,
    /// What of it was so before, and is not any more.
    pub before: Option<Value>,
    /// What of it is so now.
    pub after: Option<Value>,
    /// Why, where that was said.
    pub reason: Option<String>,
}
