//! Events, each written in the transaction of what it tells of.

use async_trait::async_trait;
use serde_json::json;
use sqlx::query;

use super::{This, Write};
use crate::domain::{Event, EventKind, Key};
use crate::store::{Outbox, Result};

/// Writes an event down, to be told once this is committed.
pub(super) async fn emit(write: &mut Write<'_>, event: &Event) -> Result<()> {
    let insert =
        query("INSERT INTO events (id, kind, at, subject, data) VALUES ($1, $2, $3, $4, $5)")
            .bind(event.id.as_str())
            .bind(event.kind.name())
            .bind(event.at.as_millisecond())
            .bind(&event.subject)
            .bind(event.data.to_string());
    write.run(insert).await.map(drop)
}

/// What `key.created` says of a key.
pub(super) fn created(key: &Key) -> Event {
    let data = json!({
        "key_id": key.id,
        "name": key.name,
        "owner": key.owner_id,
        "parent_id": key.parent_id,
        "environment": key.environment,
        "scopes": key.scopes,
        "monthly_budget": key.monthly_budget,
        "expires_at": key.expires_at,
    });
    Event::new(EventKind::KeyCreated, key.id.as_str(), data, key.created_at)
}

#[async_trait]
impl Outbox for This {
    async fn emit(&self, event: &Event) -> Result<()> {
        let mut write = self.connections.begin().await?;
        emit(&mut write, event).await?;
        write.commit().await
    }
}
