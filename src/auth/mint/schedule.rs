//! Rotation on schedule: every how many days a key's new secret is due.

use super::{Mint, MintError, rules};
use crate::domain::{KeyId, KeyWithSecrets};

impl Mint<'_> {
    /// Whether a new secret can be due every so many days.
    pub fn check_schedule(&self, days: Option<u32>) -> Result<(), MintError> {
        rules::interval(days)
    }

    /// Sets every how many days a new secret is due, or takes the schedule away. When it is due next
    /// says [`KeyWithSecrets::next_rotation_at`].
    pub async fn schedule(
        &self,
        id: &KeyId,
        days: Option<u32>,
    ) -> Result<KeyWithSecrets, MintError> {
        rules::interval(days)?;
        self.unrevoked(id).await?;
        if !self.store.schedule_rotation(&self.act(), id, days).await? {
            return Err(MintError::Revoked(id.clone()));
        }
        self.key(id).await
    }
}
