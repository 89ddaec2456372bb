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

/// What a look at the whole audit log came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChainVerdict {
    /// Every row is as it was written, and follows from the one before. That rows are missing behind the
    /// last one can't be seen from what is there: only from a hash that somebody has noted.
    Unbroken {
        /// How many rows there are.
        rows: u64,
        /// The last one; `None`: there are none.
        head: Option<ChainHead>,
    },
    /// It was changed by other hands than keygate's.
    Broken(ChainBreak),
    /// It is unbroken, and the row whose hash was noted is not in it: it was cut off, or all of it was
    /// written anew.
    Lacks {
        /// How many rows there are.
        rows: u64,
    },
}

/// The last row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainHead {
    /// `aud_…`.
    pub id: String,
    /// When it was written.
    pub at: Timestamp,
    /// What stands for it and all rows before it: 64 hex digits.
    pub hash: String,
}

/// Where it is broken first. The rows before are as they were written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ChainBreak {
    /// The place in the log, from 1.
    pub place: i64,
    /// The row that stands there; `None`: none does.
    pub id: Option<String>,
    /// What is wrong there.
    pub how: ChainFault,
}

/// How a chain can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ChainFault {
    /// The row is not what was written there.
    Changed,
    /// There is no row in this place, and there are later ones.
    Missing,
    /// The row is as it was written, in another place.
    Moved,
    /// The row is whole, and does not follow from the one before: another one stood there.
    Unlinked,
}
