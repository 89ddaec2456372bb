//! The change feed: what changed, in the order of its commits, as each store tells it.

use async_trait::async_trait;

use super::Result;
use crate::domain::{KeyId, OwnerId};

/// One thing that changed. What it changed to is read from the store.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A key, or any of its secrets.
    Key(KeyId),
    /// An owner.
    Owner(OwnerId),
}

/// What changed after a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changes {
    /// These did, each once; the revision is now this.
    These {
        /// What changed.
        changes: Vec<Change>,
        /// The newest revision among them, or the one asked with.
        revision: i64,
    },
    /// Too much has been pruned since: everything must be read again.
    Everything {
        /// The newest revision.
        revision: i64,
    },
}

/// A standing subscription.
#[async_trait]
pub trait Feed: Send {
    /// Waits until something may have changed; ask [`super::Store::changes_since`] what. An error
    /// means that the subscription broke and that changes may have been missed.
    async fn next(&mut self) -> Result<()>;
}
