//! Running instances.

use sqlx::FromRow;

use super::Row;
use crate::domain::{Instance, InstanceId, InstanceStatus, SeenInstance};
use crate::store::Result;

/// A running instance. The spans are by the database's clock, which may have been put back since.
#[derive(FromRow)]
pub(in crate::store) struct InstanceRow {
    id: String,
    host: String,
    version: String,
    started_at: i64,
    revision: i64,
    config_hash: String,
    seen_ms_ago: i64,
    /// `None` where it lacks no change.
    lag_ms: Option<i64>,
}

impl InstanceRow {
    pub(in crate::store) fn read(self) -> Result<SeenInstance> {
        let row = Row { table: "instances", id: &self.id };
        let started_at = row.time("started_at", self.started_at)?;
        let seen_ms_ago = u64::try_from(self.seen_ms_ago).unwrap_or(0);
        Ok(SeenInstance {
            instance: Instance {
                id: InstanceId::from_text(self.id),
                host: self.host,
                version: self.version,
                started_at,
                revision: self.revision,
                config_hash: self.config_hash,
            },
            status: InstanceStatus::after(seen_ms_ago),
            lag_ms: self.lag_ms.and_then(|lag| u64::try_from(lag).ok()).unwrap_or(0),
            seen_ms_ago,
        })
    }
}
