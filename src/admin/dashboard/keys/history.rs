//! What was done to a key, as the audit log has it.

use serde_json::Value;

use crate::admin::AdminState;
use crate::admin::dashboard::PageError;
use crate::admin::dashboard::words::Moment;
use crate::domain::{AuditRow, KeyId};
use crate::store::{AuditFilter, PageRequest};

/// Rows that the page of a key shows.
const SHOWN: u32 = 10;
/// The longest value that is shown whole, in characters.
const LONGEST: usize = 120;

/// One change.
pub(super) struct Entry {
    pub(super) at: Moment,
    pub(super) actor: String,
    pub(super) address: Option<String>,
    pub(super) action: String,
    /// Names with what they were and are.
    pub(super) changes: Vec<Change>,
    pub(super) reason: Option<String>,
}

/// One field of a change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// The newest changes of a key.
pub(super) async fn history(state: &AdminState, key: &KeyId) -> Result<Vec<Entry>, PageError> {
    let filter = AuditFilter { target: Some(key.to_string()), ..AuditFilter::default() };
    let page = state.store.audit(&filter, &PageRequest { after: None, limit: SHOWN }).await?;
    let now = state.now();
    let entry = |row: AuditRow| Entry {
        at: Moment::new(row.at, now),
        changes: changes(row.before.as_ref(), row.after.as_ref()),
        actor: row.actor,
        address: row.address,
        action: row.action,
        reason: row.reason,
    };
    Ok(page.rows.into_iter().map(entry).collect())
}

/// What of an object was and is.
fn changes(before: Option<&Value>, after: Option<&Value>) -> Vec<Change> {
    let fields =
        |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
    let (was, is) = (fields(before), fields(after));
    let gone = was.keys().filter(|name| !is.contains_key(*name));
    let change = |name: &String| Change {
        name: name.clone(),
        before: was.get(name).and_then(words),
        after: is.get(name).and_then(words),
    };
    let changes = is.keys().chain(gone).map(change);
    changes.filter(|change| change.before.is_some() || change.after.is_some()).collect()
}

/// A value in words; `None`: it says nothing.
fn words(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::Array(items) if items.is_empty() => return None,
        Value::Object(fields) if fields.is_empty() => return None,
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let item = |item: &Value| item.as_str().map_or_else(|| item.to_string(), str::to_owned);
            items.iter().map(item).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    };
    if text.chars().count() <= LONGEST {
        return Some(text);
    }
    Some(text.chars().take(LONGEST).chain(['…']).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_change_says_what_was_and_what_is_and_leaves_out_what_says_nothing() {
        let before = json!({"name": "a", "limits": [], "gone": 1});
        let after = json!({"name": "b", "limits": ["1/s", "2/min"], "expires_at": null});
        let told = changes(Some(&before), Some(&after));
        let told: Vec<_> = told
            .iter()
            .map(|c| (c.name.as_str(), c.before.as_deref(), c.after.as_deref()))
            .collect();
        assert_eq!(
            told,
            [
                ("name", Some("a"), Some("b")),
                ("limits", None, Some("1/s, 2/min")),
                ("gone", Some("1"), None),
            ]
        );
        assert_eq!(words(&json!("x".repeat(200))).unwrap().chars().count(), LONGEST + 1);
    }
}
