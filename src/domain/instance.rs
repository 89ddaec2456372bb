//! Instances: the running gateways that share one store.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::id::InstanceId;

/// How often an instance lets itself be heard of where nothing has changed.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// Past three heartbeats it is not counted any more: it has ended, or is cut off from the store.
pub const SILENT_AFTER: Duration = HEARTBEAT.saturating_mul(3);

/// What an instance says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Instance {
    /// `inst_…`, another one at every start; they sort by their start.
    pub id: InstanceId,
    /// The machine's name and the process's id there, for people: `web-1 (pid 4711)`.
    pub host: String,
    /// Of keygate.
    pub version: String,
    /// By the instance's own clock.
    pub started_at: Timestamp,
    /// Every change up to this one is in force on it; 0: it has read nothing yet.
    pub revision: i64,
    /// `LoadedConfig::hash` of the configuration in force.
    pub config_hash: String,
}

/// An instance as the store shows it. Spans are by the database's clock, which all share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SeenInstance {
    /// What it said last.
    #[serde(flatten)]
    pub instance: Instance,
    /// Whether it still lets itself be heard of.
    pub status: InstanceStatus,
    /// 0 where it has the newest revision, else how long ago the oldest change was made that it
    /// lacks.
    pub lag_ms: u64,
    /// How long ago it was heard of.
    pub seen_ms_ago: u64,
}

/// Whether an instance still lets itself be heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InstanceStatus {
    /// Within [`SILENT_AFTER`].
    Running,
    /// Not since then, and it did not say that it stops.
    Silent,
}

impl InstanceStatus {
    /// Of an instance that was heard of so long ago.
    pub fn after(seen_ms_ago: u64) -> Self {
        if u128::from(seen_ms_ago) > SILENT_AFTER.as_millis() {
            Self::Silent
        } else {
            Self::Running
        }
    }

    /// `running` or `silent`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Silent => "silent",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_heartbeats_may_fail_to_come() {
        assert_eq!(InstanceStatus::after(3_000), InstanceStatus::Running);
        assert_eq!(InstanceStatus::after(3_001), InstanceStatus::Silent);
    }
}
