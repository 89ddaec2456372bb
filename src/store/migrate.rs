//! Which schema a store has and which it needs.

use serde::Serialize;

/// A store's migrations against this binary's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaStatus {
    /// The newest migration that the store has; 0: none.
    pub found: i64,
    /// The newest migration in this binary.
    pub needed: i64,
    /// Names of the migrations that were applied by this call, or that would be.
    pub pending: Vec<String>,
}
