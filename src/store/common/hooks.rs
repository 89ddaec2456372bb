//! The statements about subjects' own addresses.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{FromRow, query, query_as};

use super::This;
use crate::domain::HookId;
use crate::store::{Hook, HookBook, Result, StoreError};

#[derive(FromRow)]
struct HookRow {
    id: String,
    subject: String,
    url: String,
    secret: String,
    created_at: i64,
}

impl HookRow {
    fn read(self) -> Result<Hook> {
        let created_at = Timestamp::from_millisecond(self.created_at)
            .map_err(|error| StoreError::Corrupt(format!("hook {}: {error}", self.id)))?;
        let Self { id, subject, url, secret: sealed, .. } = self;
        Ok(Hook { id: HookId::from_text(id), subject, url, sealed, created_at })
    }
}

#[async_trait]
impl HookBook for This {
    async fn put_hook(&self, hook: &Hook, url: &str, host: &str) -> Result<()> {
        let put = query(
            "INSERT INTO hooks (id, subject, url, secret, created_at) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (subject) DO UPDATE SET url = excluded.url, secret = excluded.secret, \
             created_at = excluded.created_at",
        )
        .bind(hook.id.as_str())
        .bind(&hook.subject)
        .bind(&hook.url)
        .bind(&hook.sealed)
        .bind(hook.created_at.as_millisecond());
        let lead = query(
            "UPDATE deliveries SET url = $2, host = $3 WHERE status = 'pending' \
             AND endpoint = (SELECT id FROM hooks WHERE subject = $1)",
        );
        let mut write = self.connections.begin().await?;
        write.run(put).await?;
        write.run(lead.bind(&hook.subject).bind(url).bind(host)).await?;
        write.commit().await
    }

    async fn hook(&self, subject: &str) -> Result<Option<Hook>> {
        let ask = query_as::<_, HookRow>("SELECT * FROM hooks WHERE subject = $1").bind(subject);
        self.connections.all(ask).await?.pop().map(HookRow::read).transpose()
    }

    async fn remove_hook(&self, subject: &str, now: Timestamp) -> Result<bool> {
        let fail = query(
            "UPDATE deliveries SET status = 'failed', ended_at = $2, \
             last_error = 'the hook was removed' WHERE status = 'pending' \
             AND endpoint = (SELECT id FROM hooks WHERE subject = $1)",
        );
        let remove = query("DELETE FROM hooks WHERE subject = $1").bind(subject);
        let mut write = self.connections.begin().await?;
        write.run(fail.bind(subject).bind(now.as_millisecond())).await?;
        let removed = write.run(remove).await?;
        write.commit().await?;
        Ok(removed > 0)
    }

    async fn hooks_after(&self, id: &str, most: u32) -> Result<Vec<Hook>> {
        let ask = query_as::<_, HookRow>("SELECT * FROM hooks WHERE id > $1 ORDER BY id LIMIT $2");
        let hooks = self.connections.all(ask.bind(id).bind(i64::from(most))).await?;
        hooks.into_iter().map(HookRow::read).collect()
    }

    async fn reseal_hook(&self, hook: &Hook, sealed: &str) -> Result<()> {
        let update = query("UPDATE hooks SET secret = $3 WHERE id = $1 AND secret = $2");
        let mut write = self.connections.begin().await?;
        write.run(update.bind(hook.id.as_str()).bind(&hook.sealed).bind(sealed)).await?;
        write.commit().await
    }
}
