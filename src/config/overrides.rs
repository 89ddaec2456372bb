//! Variables of the environment that win over the file.
//!
//! An empty one counts as not set: that is what Compose files pass on for a variable that the host
//! lacks.

use super::environment::Environment;
use super::problem::Complaints;
use super::tree::{Node, Shown, Table, Value};
use super::types::CacheKeySource;
use crate::domain::{Limit, Window};
use crate::key::CacheKeys;

/// Wins over `store.url`.
pub const DATABASE_URL: &str = "DATABASE_URL";
/// Replaces or adds the minute's window of `limits.per_key`.
pub const RATE_LIMIT_PER_MIN: &str = "RATE_LIMIT_PER_MIN";
/// Replaces or adds the hour's window of `limits.per_key`.
pub const RATE_LIMIT_PER_HOUR: &str = "RATE_LIMIT_PER_HOUR";

/// Wins over `cache.key_file`: the cache key itself, and on a second line the one that it replaces.
pub const KEYGATE_CACHE_KEY: &str = "KEYGATE_CACHE_KEY";

/// The cache key of the environment. It has no place in the tree, whose texts are shown.
pub(super) fn cache_key(
    environment: &Environment,
    complaints: &mut Complaints<'_>,
) -> Option<CacheKeySource> {
    let text = environment.get(KEYGATE_CACHE_KEY).filter(|value| !value.is_empty())?;
    let keys = CacheKeys::parse(text).map_err(|error| {
        let problem = format!("the environment's variable `{KEYGATE_CACHE_KEY}` {error}");
        complaints.problem(0, problem);
    });
    keys.ok().map(CacheKeySource::Variable)
}

/// Puts the variables' values into the tree.
pub(super) fn apply(root: &mut Table, environment: &Environment, complaints: &mut Complaints<'_>) {
    let set = |name| environment.get(name).filter(|value| !value.is_empty());
    if let (Some(url), Some(node)) = (set(DATABASE_URL), setting(root, "store", "url")) {
        node.value = Value::Text(url.to_owned());
        node.shown = Shown::WithoutPassword;
        node.variable = Some(DATABASE_URL);
    }
    let windows = [(RATE_LIMIT_PER_MIN, Window::Minute), (RATE_LIMIT_PER_HOUR, Window::Hour)];
    for (name, window) in windows {
        let (Some(text), Some(node)) = (set(name), setting(root, "limits", "per_key")) else {
            continue;
        };
        match limit(text, window) {
            Some(limit) => replace(node, limit),
            None => complaints.problem(
                node.at,
                format!(
                    "the environment's variable `{name}` must be a whole number from 1 to {}",
                    u32::MAX
                ),
            ),
        }
    }
}

fn setting<'t>(root: &'t mut Table, section: &str, name: &str) -> Option<&'t mut Node> {
    let section = find(root, section)?;
    match &mut section.value {
        Value::Table(table) => find(table, name),
        _ => None,
    }
}

fn find<'t>(table: &'t mut Table, name: &str) -> Option<&'t mut Node> {
    table.entries.iter_mut().find(|(known, _, _)| known == name).map(|(_, _, node)| node)
}

fn limit(text: &str, window: Window) -> Option<Limit> {
    format!("{text}/{}", window.name()).parse().ok()
}

fn replace(per_key: &mut Node, limit: Limit) {
    let Value::List(nodes) = &mut per_key.value else { return };
    let same = |node: &Node| matches!(&node.value, Value::Limit(Some(known)) if known.window == limit.window);
    nodes.retain(|node| !same(node));
    nodes.push(Node::plain(per_key.at, Value::Limit(Some(limit))));
}
