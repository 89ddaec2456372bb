//! The audit log's rows, each written in the transaction of the change that it tells of.

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use sqlx::{QueryBuilder, query, query_as};

use super::{Database, This, Write};
use crate::domain::{Act, AuditId, AuditRow, ChainVerdict, Key};
use crate::store::audit::{AuditFilter, AuditLog, Chain, FIRST, StoredRow, hash};
use crate::store::{Page, PageRequest, Result, list};

/// Rows of the chain that are looked at at once.
const LINKS: i64 = 1_000;

/// A change to be written down.
pub(super) struct Entry<'a> {
    /// `key.create` and the like.
    pub(super) action: &'static str,
    /// The id of the key or owner that is changed.
    pub(super) target: &'a str,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
    pub(super) reason: Option<&'a str>,
}

impl<'a> Entry<'a> {
    /// A change that has nothing more to say.
    pub(super) fn plain(action: &'static str, target: &'a str) -> Self {
        Self { action, target, before: None, after: None, reason: None }
    }
}

/// Adds a row behind the last one. It is this writer's turn, so that there is one last one.
pub(super) async fn record(write: &mut Write<'_>, act: &Act, entry: Entry<'_>) -> Result<()> {
    let last =
        query_as::<_, (i64, String)>("SELECT place, hash FROM audit ORDER BY place DESC LIMIT 1");
    let (place, previous) = write.all(last).await?.pop().unwrap_or((0, FIRST.to_owned()));
    let mut row = StoredRow {
        place: place + 1,
        id: AuditId::mint().to_string(),
        at: act.at.as_millisecond(),
        actor: act.actor.to_string(),
        address: act.address.map(|address| address.to_string()),
        action: entry.action.to_owned(),
        target: entry.target.to_owned(),
        before: entry.before.map(|value| value.to_string()),
        after: entry.after.map(|value| value.to_string()),
        reason: entry.reason.map(str::to_owned),
        previous,
        hash: String::new(),
    };
    row.hash = hash(&row);
    let insert = query(
        "INSERT INTO audit (place, id, at, actor, address, action, target, before, after, reason, \
         previous, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(row.place)
    .bind(row.id)
    .bind(row.at)
    .bind(row.actor)
    .bind(row.address)
    .bind(row.action)
    .bind(row.target)
    .bind(row.before)
    .bind(row.after)
    .bind(row.reason)
    .bind(row.previous)
    .bind(row.hash);
    write.run(insert).await.map(drop)
}

/// What of a key's policy an update has changed: as it was, and as it is.
pub(super) fn differences(before: &Key, after: &Key) -> (Value, Value) {
    let (mut was, mut is) = (policy(before), policy(after));
    was.retain(|name, value| is.get(name) != Some(value));
    is.retain(|name, _| was.contains_key(name));
    (Value::Object(was), Value::Object(is))
}

/// What an operator decides of a key.
pub(super) fn policy(key: &Key) -> Map<String, Value> {
    let policy = json!({
        "name": key.name,
        "owner": key.owner_id,
        "parent_id": key.parent_id,
        "environment": key.environment,
        "scopes": key.scopes,
        "limits": key.limits,
        "allowed_ips": key.allowed_ips,
        "monthly_budget": key.monthly_budget,
        "expires_at": key.expires_at,
        "rotation_interval_days": key.rotation_interval_days,
        "metadata": key.metadata,
    });
    match policy {
        Value::Object(policy) => policy,
        _ => Map::new(),
    }
}

#[async_trait]
impl AuditLog for This {
    async fn note(
        &self,
        act: &Act,
        action: &'static str,
        target: &str,
        after: Value,
    ) -> Result<()> {
        let mut write = self.connections.write().await?;
        let entry = Entry { after: Some(after), ..Entry::plain(action, target) };
        record(&mut write, act, entry).await?;
        write.commit().await
    }

    async fn audit(&self, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditRow>> {
        // By place and not by id: two processes that write in turn need not agree on the time.
        let mut ask = QueryBuilder::<Database>::new(
            "SELECT * FROM audit WHERE place < coalesce((SELECT c.place FROM audit c WHERE c.id = ",
        );
        ask.push_bind(list::below(page).to_owned());
        ask.push("), (SELECT max(l.place) + 1 FROM audit l), 0)");
        if let Some(since) = filter.since {
            ask.push(" AND at >= ").push_bind(since.as_millisecond());
        }
        if let Some(actor) = &filter.actor {
            ask.push(" AND actor = ").push_bind(actor.clone());
        }
        if let Some(target) = &filter.target {
            ask.push(" AND target = ").push_bind(target.clone());
        }
        if let Some(action) = &filter.action {
            ask.push(" AND action = ").push_bind(action.clone());
        }
        ask.push(" ORDER BY place DESC LIMIT ").push_bind(list::asked(page));
        let rows = self.connections.all(ask.build_query_as::<StoredRow>()).await?;
        let rows = rows.into_iter().map(StoredRow::read).collect::<Result<_>>()?;
        Ok(list::page(rows, page, |row: &AuditRow| &row.id))
    }

    async fn verify_audit(&self, expected: Option<&str>) -> Result<ChainVerdict> {
        let mut chain = Chain::new(expected);
        loop {
            let ask = query_as::<_, StoredRow>(
                "SELECT * FROM audit WHERE place > $1 ORDER BY place LIMIT $2",
            );
            let rows = self.connections.all(ask.bind(chain.place()).bind(LINKS)).await?;
            if rows.is_empty() {
                return chain.verdict();
            }
            for row in rows {
                if let Err(broken) = chain.follow(row) {
                    return Ok(ChainVerdict::Broken(broken));
                }
            }
        }
    }
}
