//! The audit log: who changed what, as a chain of which no link can go unnoticed.

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde_json::Value;
use sqlx::FromRow;

use super::{Page, PageRequest, Result, StoreError};
use crate::domain::AuditRow;
use crate::key::hex;

/// What stands in the first row's place of the hash before.
pub(super) const FIRST: &str = "";

/// Which rows are listed: all that every given field says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not before this.
    pub since: Option<Timestamp>,
    /// By this actor, as it is written.
    pub actor: Option<String>,
    /// About this key or owner.
    pub target: Option<String>,
    /// This change, as `key.create` is one.
    pub action: Option<String>,
}

/// The log, read. It is written by the changes themselves.
#[async_trait]
pub trait AuditLog {
    /// Rows, newest first.
    async fn audit(&self, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditRow>>;
}

/// A row as it is kept.
#[derive(Clone, FromRow)]
pub(super) struct StoredRow {
    pub(super) place: i64,
    pub(super) id: String,
    pub(super) at: i64,
    pub(super) actor: String,
    pub(super) address: Option<String>,
    pub(super) action: String,
    pub(super) target: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) previous: String,
    pub(super) hash: String,
}

impl StoredRow {
    pub(super) fn read(self) -> Result<AuditRow> {
        let corrupt = |what: String| StoreError::Corrupt(format!("audit row {}: {what}", self.id));
        let value = |text: Option<String>| -> Result<Option<Value>> {
            text.map(|text| serde_json::from_str(&text))
                .transpose()
                .map_err(|e| corrupt(e.to_string()))
        };
        Ok(AuditRow {
            at: Timestamp::from_millisecond(self.at).map_err(|e| corrupt(e.to_string()))?,
            before: value(self.before)?,
            after: value(self.after)?,
            id: self.id.clone(),
            actor: self.actor,
            action: self.action,
            target: self.target,
            address: self.address,
            reason: self.reason,
        })
    }
}

/// SHA-256, in hex, over the hash before and all fields as a JSON array, so that no two rows that
/// differ are written alike.
pub(super) fn hash(row: &StoredRow) -> String {
    let fields = serde_json::json!([
        row.previous,
        row.place,
        row.id,
        row.at,
        row.actor,
        row.address,
        row.action,
        row.target,
        row.before,
        row.after,
        row.reason,
    ]);
    hex::encode(digest(&SHA256, fields.to_string().as_bytes()).as_ref())
}
