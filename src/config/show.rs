//! The configuration in force as text, with everything that may be a secret masked.
//!
//! Masking happens when the tree is turned into JSON, once, when it is loaded: what is kept for
//! showing holds no secret any more.

use serde_json::Value as Json;

use super::tree::{Node, Shown, Table, Value};
use super::units::{format_duration, format_size};

/// What stands in a secret's place.
const MASK: &str = "***";
/// A table with more settings than this has a section of its own, not a line.
const INLINE: usize = 3;

/// The tree as JSON in the order of the settings, masked.
pub(super) fn masked(table: &Table) -> Json {
    let entry = |(name, _, node): &(String, usize, Node)| (name.clone(), masked_node(node));
    Json::Object(table.entries.iter().map(entry).collect())
}

fn masked_node(node: &Node) -> Json {
    if node.shown == Shown::Never {
        return MASK.into();
    }
    match &node.value {
        Value::Text(text) if node.shown == Shown::WithoutPassword => without_password(text).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Bool(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Number(value) => (*value).into(),
        Value::Duration(value) => format_duration(*value).into(),
        Value::Size(value) => format_size(*value).into(),
        Value::Limit(None) => "".into(),
        Value::Limit(Some(value)) => value.to_string().into(),
        Value::Amount(value) => value.to_string().into(),
        Value::Address(value) => value.to_string().into(),
        Value::List(nodes) => nodes.iter().map(masked_node).collect(),
        Value::Table(table) => masked(table),
    }
}

/// A URL without its password, wherever that stands. Rather more is masked than less: a password
/// may hold, unescaped, every character that ends one.
fn without_password(url: &str) -> String {
    if url.is_empty() {
        return String::new();
    }
    let Some((scheme, rest)) = url.split_once("://") else { return MASK.to_owned() };
    let query = rest.split_once('?').map_or("", |(_, query)| query).to_ascii_lowercase();
    if query.contains("pass") {
        return format!("{scheme}://{MASK}");
    }
    match rest.rsplit_once('@') {
        Some((user_information, place)) => match user_information.split_once(':') {
            Some((user, _)) => format!("{scheme}://{user}:{MASK}@{place}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

/// Writes the JSON of a configuration as TOML that can be read again.
pub(super) fn to_toml(config: &Json) -> String {
    let mut text = String::new();
    if let Json::Object(sections) = config {
        for (name, value) in sections {
            section(&mut text, &key(name), value);
        }
    }
    text
}

fn section(text: &mut String, path: &str, value: &Json) {
    match value {
        Json::Object(settings) => {
            let (own, inline): (Vec<_>, Vec<_>) =
                settings.iter().partition(|(_, value)| is_section(value));
            if !inline.is_empty() || own.is_empty() {
                header(text, &format!("[{path}]"));
            }
            lines(text, &inline);
            for (name, value) in own {
                section(text, &format!("{path}.{}", key(name)), value);
            }
        }
        Json::Array(tables) => {
            for table in tables.iter().filter_map(Json::as_object) {
                header(text, &format!("[[{path}]]"));
                lines(text, &table.iter().collect::<Vec<_>>());
            }
        }
        _ => {}
    }
}

fn is_section(value: &Json) -> bool {
    value.as_object().is_some_and(|settings| settings.len() > INLINE)
}

fn header(text: &mut String, header: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(header);
    text.push('\n');
}

fn lines(text: &mut String, settings: &[(&String, &Json)]) {
    for (name, value) in settings {
        text.push_str(&[&key(name), " = ", &inline(value), "\n"].concat());
    }
}

fn inline(value: &Json) -> String {
    match value {
        Json::String(text) => quoted(&text.replace("${", "$${")),
        Json::Array(values) => {
            format!("[{}]", values.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        Json::Object(settings) if settings.is_empty() => "{}".to_owned(),
        Json::Object(settings) => {
            let pairs =
                settings.iter().map(|(name, value)| format!("{} = {}", key(name), inline(value)));
            format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
        }
        plain => plain.to_string(),
    }
}

fn key(name: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    if !name.is_empty() && name.bytes().all(bare) { name.to_owned() } else { quoted(name) }
}

/// A TOML basic string. JSON's escapes are all TOML's too; DEL is the one character that TOML wants
/// escaped and JSON does not.
fn quoted(text: &str) -> String {
    Json::from(text).to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_masked_wherever_it_stands() {
        for (url, shown) in [
            ("sqlite://keygate.db", "sqlite://keygate.db"),
            ("postgres://host/db", "postgres://host/db"),
            ("postgres://user@host/db", "postgres://user@host/db"),
            ("postgres://user:hush@host:5432/db", "postgres://user:***@host:5432/db"),
            ("postgres://user:hu@s/h?x@host/db", "postgres://user:***@host/db"),
            ("", ""),
            ("postgres://host/db?user=u&password=hush", "postgres://***"),
            ("postgres://host:1/db?password=hu@sh", "postgres://***"),
            ("postgres://host/db?sslmode=require", "postgres://host/db?sslmode=require"),
            ("hush", "***"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn any_string_survives_being_written() {
        for text in ["", "a\"b\\c\n\t\r\u{7f}\u{1}ä", "${A}"] {
            let line = format!("{} = {}", quoted(text), quoted(text));
            let table: toml::Table = line.parse().unwrap();
            assert_eq!(table[text].as_str(), Some(text));
        }
    }
}
