//! Lists: which rows, and where a page begins and ends.
//!
//! Pages are cut by id, newest first, so that a page costs the same however far down it is and rows
//! made since shift nothing.

use std::time::Duration;

use sqlx::{Database, Encode, QueryBuilder, Type};

use super::rows::json;
use super::{KeyFilter, Overdue, Page, PageRequest};
use crate::domain::KeyStatus;

/// The text above every id there can be: where the first page begins.
const ABOVE_ALL: &str = "\u{10FFFF}";

/// Where a page begins: below this id.
pub(super) fn below(page: &PageRequest) -> &str {
    page.after.as_deref().unwrap_or(ABOVE_ALL)
}

/// How many rows are asked for: one more than shown, which says whether there are more.
pub(super) fn asked(page: &PageRequest) -> i64 {
    i64::from(shown(page)) + 1
}

fn shown(page: &PageRequest) -> u32 {
    page.limit.clamp(1, 1_000)
}

/// Cuts what [`asked`] gave to the page.
pub(super) fn page<T>(mut rows: Vec<T>, page: &PageRequest, id: impl Fn(&T) -> &str) -> Page<T> {
    let shown = shown(page) as usize;
    let more = rows.len() > shown;
    rows.truncate(shown);
    let next_cursor = rows.last().filter(|_| more).map(|last| id(last).to_owned());
    Page { rows, next_cursor }
}

/// Begins the question for a page of keys, `page`; `select_keys!` is its end.
pub(super) fn push_page<'q, DB>(
    query: &mut QueryBuilder<DB>,
    filter: &KeyFilter,
    page: &PageRequest,
) where
    DB: Database,
    String: Encode<'q, DB> + Type<DB>,
    i64: Encode<'q, DB> + Type<DB>,
{
    let id = push_tables(query, filter);
    query.push(" AND ").push(id).push(" < ").push_bind(below(page).to_owned());
    if let Some(owner) = &filter.owner {
        query.push(" AND k.owner_id = ").push_bind(owner.as_str().to_owned());
    }
    if let Some(parent) = &filter.parent {
        query.push(" AND k.parent_id = ").push_bind(parent.as_str().to_owned());
    }
    if let Some(ancestor) = &filter.ancestor {
        query.push(" AND k.id IN (WITH RECURSIVE family (id) AS (SELECT d.id FROM keys d WHERE d.parent_id = ");
        query.push_bind(ancestor.as_str().to_owned());
        query.push(" UNION SELECT d.id FROM keys d JOIN family f ON d.parent_id = f.id) SELECT id FROM family)");
    }
    if let Some(environment) = filter.environment {
        query.push(" AND k.environment = ").push_bind(environment.name().to_owned());
    }
    if let Some(scope) = &filter.scope {
        // Scopes are a list of JSON texts: without this one it is another list.
        query.push(" AND replace(k.scopes, ").push_bind(json(scope)).push(", '') <> k.scopes");
    }
    if let Some((status, now)) = filter.status {
        push_status(query, status, now.as_millisecond());
    }
    if let Some(before) = filter.secret_older_than {
        query.push(" AND f.newest_at < ").push_bind(before.as_millisecond());
    }
    if let Some(since) = filter.unused_since {
        query.push(" AND k.created_at < ").push_bind(since.as_millisecond());
        query.push(
            " AND NOT EXISTS (SELECT 1 FROM secrets u WHERE u.key_id = k.id AND u.last_used_at >= ",
        );
        query.push_bind(since.as_millisecond()).push(")");
    }
    if let Some(overdue) = &filter.overdue {
        push_overdue(query, overdue);
    }
    if let Some((after, until)) = filter.expiring {
        query.push(" AND k.revoked_at IS NULL AND k.expires_at > ");
        query.push_bind(after.as_millisecond());
        query.push(" AND k.expires_at <= ").push_bind(until.as_millisecond());
    }
    if let Some(search) = &filter.search {
        push_words(query, "f.text", search);
    }
    query.push(" ORDER BY ").push(id).push(" DESC LIMIT ").push_bind(asked(page)).push(") ");
}

/// Begins with what is looked through, and says by which column it is in order: of all keys the short
/// rows of `key_search` where these are needed, else the keys. SQLite takes the left side of a
/// `CROSS JOIN` first; where another filter leaves few keys it is to begin with those.
fn push_tables<DB: Database>(query: &mut QueryBuilder<DB>, filter: &KeyFilter) -> &'static str {
    query.push("WITH page AS (SELECT k.* FROM ");
    let is_found =
        filter.search.is_some() || filter.secret_older_than.is_some() || filter.overdue.is_some();
    let are_few = filter.owner.is_some() || filter.parent.is_some() || filter.ancestor.is_some();
    let (tables, id) = match (is_found, are_few) {
        (false, _) => ("keys k WHERE true", "k.id"),
        (true, true) => ("keys k JOIN key_search f ON f.key_id = k.id WHERE true", "k.id"),
        (true, false) => ("key_search f CROSS JOIN keys k WHERE k.id = f.key_id", "f.key_id"),
    };
    query.push(tables);
    id
}

/// Asks that a column, which has A to Z as a to z, has all words of a text.
pub(super) fn push_words<'q, DB>(query: &mut QueryBuilder<DB>, column: &str, text: &str)
where
    DB: Database,
    String: Encode<'q, DB> + Type<DB>,
{
    for word in text.split_whitespace() {
        query.push(" AND ").push(column).push(" LIKE ").push_bind(pattern(word));
        query.push(" ESCAPE '!'");
    }
}

/// What has the word in it.
fn pattern(word: &str) -> String {
    let mut pattern = String::from("%");
    for character in word.chars() {
        if matches!(character, '%' | '_' | '!') {
            pattern.push('!');
        }
        pattern.push(character.to_ascii_lowercase());
    }
    pattern.push('%');
    pattern
}

/// What `RotationView` says, as a condition.
fn push_overdue<'q, DB>(query: &mut QueryBuilder<DB>, overdue: &Overdue)
where
    DB: Database,
    i64: Encode<'q, DB> + Type<DB>,
{
    let ms = |length: Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX / 4);
    let now = overdue.now.as_millisecond();
    // What has no schedule is mostly told apart by the short row alone; few keys have one.
    query.push(" AND (f.current_at IS NULL OR f.current_at <= ");
    query.push_bind(now.saturating_sub(ms(overdue.rotate_after)));
    query.push(
        " OR f.key_id IN (SELECT i.id FROM keys i WHERE i.rotation_interval_days IS NOT NULL))",
    );
    query.push(" AND (SELECT CASE WHEN k.rotation_interval_days IS NULL THEN n.made_at + ");
    query.push_bind(ms(overdue.rotate_after));
    query.push(" WHEN n.made_at + k.rotation_interval_days * 86400000 < ");
    query.push("coalesce(k.rotation_due_at, 0) THEN k.rotation_due_at + ");
    query.push_bind(ms(overdue.grace));
    query.push(" ELSE n.made_at + k.rotation_interval_days * 86400000 + ");
    query.push_bind(ms(overdue.grace));
    // Where every secret has an end, the newest live one is that which ends last.
    query.push(
        " END FROM (SELECT coalesce(f.current_at, (SELECT s.created_at FROM secrets s \
         WHERE s.key_id = k.id AND s.revoked_at IS NULL AND s.expires_at > ",
    );
    query.push_bind(now);
    query.push(" ORDER BY s.expires_at DESC, s.created_at DESC LIMIT 1)) AS made_at) n) <= ");
    query.push_bind(now);
}

/// What `Key::status` says, as a condition.
fn push_status<'q, DB>(query: &mut QueryBuilder<DB>, status: KeyStatus, now: i64)
where
    DB: Database,
    i64: Encode<'q, DB> + Type<DB>,
{
    if status == KeyStatus::Revoked {
        query.push(" AND k.revoked_at IS NOT NULL");
        return;
    }
    query.push(" AND k.revoked_at IS NULL");
    if status == KeyStatus::Expired {
        query.push(" AND k.expires_at <= ").push_bind(now);
        return;
    }
    query.push(" AND (k.expires_at IS NULL OR k.expires_at > ").push_bind(now).push(")");
    query.push(if status == KeyStatus::Disabled {
        " AND k.disabled"
    } else {
        " AND NOT k.disabled"
    });
}
