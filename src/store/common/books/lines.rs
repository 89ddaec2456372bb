//! Keys with their ancestors, whose spending a key's spending is too.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sqlx::query_as;

use super::super::Write;
use super::list;
use crate::store::Result;

/// Whose a key is and what it may spend in a month.
pub(super) struct Member {
    pub(super) owner: String,
    pub(super) budget: Option<i64>,
}

/// Keys that are there, each with its ancestors.
#[derive(Default)]
pub(super) struct Lines {
    lines: BTreeMap<String, Vec<String>>,
    members: BTreeMap<String, Member>,
}

impl Lines {
    /// A key and its ancestors; none where the key is gone.
    pub(super) fn of(&self, key: &str) -> impl Iterator<Item = &str> {
        self.lines.get(key).into_iter().flatten().map(String::as_str)
    }

    /// One of them.
    pub(super) fn member(&self, key: &str) -> Option<&Member> {
        self.members.get(key)
    }
}

/// Reads the lines of keys.
pub(super) async fn read<'k>(
    write: &mut Write<'_>,
    keys: impl Iterator<Item = &'k str>,
) -> Result<Lines> {
    let ask = query_as::<_, (String, String, String, Option<i64>)>(concat!(
        "WITH RECURSIVE line (origin, id) AS (SELECT k.id, k.id FROM keys k \
         WHERE k.id IN (SELECT r.key_id FROM ",
        rows!(key_id text),
        ") UNION SELECT l.origin, k.parent_id FROM line l JOIN keys k ON k.id = l.id \
         WHERE k.parent_id IS NOT NULL) \
         SELECT l.origin, k.id, k.owner_id, k.monthly_budget FROM line l JOIN keys k ON k.id = l.id"
    ));
    let keys: BTreeSet<&str> = keys.collect();
    let keys = list(keys.into_iter().map(|key| json!({ "key_id": key })));
    let mut lines = Lines::default();
    for (origin, id, owner, budget) in write.all(ask.bind(keys)).await? {
        lines.members.insert(id.clone(), Member { owner, budget });
        lines.lines.entry(origin).or_default().push(id);
    }
    Ok(lines)
}
