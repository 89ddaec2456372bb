//! Addresses that keys and owners have named for their own events.

use async_trait::async_trait;
use jiff::Timestamp;

use super::Result;
use crate::domain::HookId;

/// A subject's own address. At most one a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// `hook_…`; stays when the hook is replaced.
    pub id: HookId,
    /// The key or owner whose events go there.
    pub subject: String,
    /// Where they go.
    pub url: String,
    /// What they are signed with, encrypted.
    pub sealed: String,
    /// When it was registered.
    pub created_at: Timestamp,
}

/// Where hooks are kept.
#[async_trait]
pub trait HookBook {
    /// Writes a hook down in the place of the subject's earlier one, if there was one: what waits
    /// for that goes to this. `url` and `host` are what deliveries say of it.
    async fn put_hook(&self, hook: &Hook, url: &str, host: &str) -> Result<()>;
    /// The subject's hook.
    async fn hook(&self, subject: &str) -> Result<Option<Hook>>;
    /// Removes the subject's hook, and fails what waits for it; whether there was one.
    async fn remove_hook(&self, subject: &str, now: Timestamp) -> Result<bool>;
    /// Hooks in the order of their ids, behind this one, so many at most.
    async fn hooks_after(&self, id: &str, most: u32) -> Result<Vec<Hook>>;
    /// Keeps another encryption of a hook's secret, unless it has changed meanwhile.
    async fn reseal_hook(&self, hook: &Hook, sealed: &str) -> Result<()>;
}
