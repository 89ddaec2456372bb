//! Keys under others, each made while nobody else writes.

use async_trait::async_trait;
use sqlx::query_as;

use super::write::make_key;
use super::{This, Write};
use crate::domain::{Act, Key, KeyId, Secret};
use crate::store::family::Family;
use crate::store::{Result, StoreError};

#[async_trait]
impl Family for This {
    async fn create_child(&self, act: &Act, key: &Key, secret: &Secret, most: u32) -> Result<bool> {
        let mut write = self.connections.write().await?;
        if let Some(parent) = &key.parent_id
            && living_beside(&mut write, parent, act).await? >= i64::from(most)
        {
            write.undo().await?;
            return Ok(false);
        }
        make_key(&mut write, act, key, secret).await?;
        write.commit().await?;
        Ok(true)
    }
}

/// How many keys live under the one at the top of a key's family: nobody above it has more.
async fn living_beside(write: &mut Write<'_>, key: &KeyId, act: &Act) -> Result<i64> {
    let ask = query_as::<_, (i64,)>(
        "WITH RECURSIVE above (id, parent_id) AS (SELECT id, parent_id FROM keys WHERE id = $1 \
         UNION SELECT k.id, k.parent_id FROM keys k JOIN above a ON k.id = a.parent_id), \
         family (id) AS (SELECT id FROM above WHERE parent_id IS NULL \
         UNION SELECT k.id FROM keys k JOIN family f ON k.parent_id = f.id \
         WHERE k.revoked_at IS NULL) \
         SELECT count(*) FROM keys k JOIN family f ON k.id = f.id \
         WHERE k.parent_id IS NOT NULL AND (k.expires_at IS NULL OR k.expires_at > $2)",
    );
    let ask = ask.bind(key.as_str()).bind(act.at.as_millisecond());
    Ok(write.all(ask).await?.first().map_or(0, |row| row.0))
}

/// A key with a parent or with children belongs where those do.
pub(super) async fn check_alone(write: &mut Write<'_>, key: &Key) -> Result<()> {
    let ask = query_as::<_, (String,)>("SELECT id FROM keys WHERE parent_id = $1 LIMIT 1");
    let has_children = !write.all(ask.bind(key.id.as_str())).await?.is_empty();
    if has_children || key.parent_id.is_some() {
        let relatives = if has_children { "children" } else { "a parent" };
        return Err(StoreError::Conflict(format!(
            "key {} has {relatives}, with which it shares its owner: it can't be moved to another",
            key.id
        )));
    }
    Ok(())
}
