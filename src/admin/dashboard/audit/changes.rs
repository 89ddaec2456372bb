//! What a row of the audit log has changed, field by field and in words.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// One field, as it was and as it is; `None`: it was not, or is not any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::admin::dashboard) struct Change {
    pub(in crate::admin::dashboard) field: String,
    pub(in crate::admin::dashboard) before: Option<String>,
    pub(in crate::admin::dashboard) after: Option<String>,
}

/// Every field that differs, in the order of the log. Where something was made, fields that say
/// nothing are left out.
pub(in crate::admin::dashboard) fn changes(
    before: Option<&Value>,
    after: Option<&Value>,
) -> Vec<Change> {
    let (was, is) = (fields(before), fields(after));
    let names = was.iter().chain(is.iter().filter(|(name, _)| !has(&was, name)));
    let change = |(name, _): &(String, String)| Change {
        field: name.replace('_', " "),
        before: find(&was, name),
        after: find(&is, name),
    };
    let both = before.is_some() && after.is_some();
    let said = |change: &Change| {
        both || change.before.as_deref().or(change.after.as_deref()) != Some(NOTHING)
    };
    names.map(change).filter(|change| change.before != change.after).filter(said).collect()
}

/// What stands where a value says that there is none.
const NOTHING: &str = "none";

fn has(fields: &[(String, String)], name: &str) -> bool {
    fields.iter().any(|(it, _)| it == name)
}

fn find(fields: &[(String, String)], name: &str) -> Option<String> {
    fields.iter().find(|(it, _)| it == name).map(|(_, value)| value.clone())
}

/// The value's fields with those of objects in it, each with its value in words.
fn fields(value: Option<&Value>) -> Vec<(String, String)> {
    match value {
        None => Vec::new(),
        Some(Value::Object(object)) => object.iter().flat_map(field).collect(),
        Some(value) => vec![("value".to_owned(), words(value))],
    }
}

fn field((name, value): (&String, &Value)) -> Vec<(String, String)> {
    match value {
        Value::Object(inner) if !inner.is_empty() => inner_fields(name, inner),
        value => vec![(name.clone(), words(value))],
    }
}

fn inner_fields(name: &str, inner: &Map<String, Value>) -> Vec<(String, String)> {
    inner.iter().map(|(it, value)| (format!("{name}: {it}"), words(value))).collect()
}

fn words(value: &Value) -> String {
    match value {
        Value::Null => NOTHING.to_owned(),
        Value::String(text) => time(text).unwrap_or_else(|| text.clone()),
        Value::Array(values) if values.is_empty() => NOTHING.to_owned(),
        Value::Array(values) => values.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(object) if object.is_empty() => NOTHING.to_owned(),
        other => other.to_string(),
    }
}

/// A moment to the minute, as all pages write it.
fn time(text: &str) -> Option<String> {
    let at: Timestamp = text.parse().ok()?;
    Some(at.strftime("%Y-%m-%d %H:%M UTC").to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(before: Option<&Value>, after: Option<&Value>) -> Vec<String> {
        let one = |change: Change| {
            let text = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
            format!("{}: {} > {}", change.field, text(change.before), text(change.after))
        };
        changes(before, after).into_iter().map(one).collect()
    }

    #[test]
    fn a_change_is_told_field_by_field() {
        let before = json!({"name": "a", "scopes": ["x:read"], "monthly_budget": null});
        let after = json!({"name": "a", "scopes": ["x:read", "x:write"], "monthly_budget": "5.00"});
        assert_eq!(
            told(Some(&before), Some(&after)),
            ["scopes: x:read > x:read, x:write", "monthly budget: none > 5.00"]
        );
    }

    #[test]
    fn moments_are_told_to_the_minute_and_what_is_none_as_it_is() {
        let after = json!({"expires_at": "2027-01-31T01:30:59.5Z", "name": "2027-01-31"});
        assert_eq!(
            told(None, Some(&after)),
            ["expires at: - > 2027-01-31 01:30 UTC", "name: - > 2027-01-31"]
        );
    }

    #[test]
    fn of_something_new_only_what_it_has_is_told() {
        let after =
            json!({"name": "a", "limits": [], "expires_at": null, "metadata": {"team": "b"}});
        assert_eq!(told(None, Some(&after)), ["name: - > a", "metadata: team: - > b"]);
    }

    #[test]
    fn what_came_and_what_went_is_told_too() {
        let (before, after) = (json!({"metadata": {"a": "1"}}), json!({"metadata": {"b": "2"}}));
        assert_eq!(told(Some(&before), Some(&after)), ["metadata: a: 1 > -", "metadata: b: - > 2"]);
        assert_eq!(
            told(Some(&json!({"secret_id": "AAAAAAAA"})), None),
            ["secret id: AAAAAAAA > -"]
        );
        assert!(told(None, None).is_empty());
    }
}
