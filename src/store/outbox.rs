//! Events on their way to the outside.

use async_trait::async_trait;

use super::Result;
use crate::domain::Event;

/// Where what happened waits to be told.
#[async_trait]
pub trait Outbox {
    /// Writes down an event that no other change of the store carries with it.
    async fn emit(&self, event: &Event) -> Result<()>;
}
