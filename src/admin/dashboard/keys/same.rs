//! What a form asks for, as a command and as a call of the admin API: to be copied, and to be learned
//! from.

use serde_json::{Map, Value, json};

use crate::admin::dashboard::Fields;

/// A form in the words of a shell.
pub(super) struct Same {
    pub(super) command: String,
    pub(super) curl: String,
}

impl Same {
    /// Of a form as far as it is filled in; `admin` is this listener as the browser calls it.
    pub(super) fn new(fields: &Fields, admin: &str) -> Self {
        Self { command: command(fields), curl: curl(fields, admin) }
    }
}

fn command(fields: &Fields) -> String {
    let mut flags = vec![("--name", fields.text("name").to_owned())];
    let mut add = |flag, value: &str| flags.push((flag, value.to_owned()));
    for (field, flag) in [("owner", "--owner"), ("parent", "--parent")] {
        if let Some(value) = fields.given(field) {
            add(flag, value);
        }
    }
    scopes(fields).for_each(|scope| add("--scope", scope));
    fields.all("permission").for_each(|permission| add("--permission", permission));
    if let Some(end) = expiry(fields) {
        add("--expires", end);
    }
    if let Some(budget) = fields.given("budget") {
        add("--budget", budget);
    }
    fields.words("limits").for_each(|limit| add("--limit", limit));
    fields.words("allowed_ips").for_each(|range| add("--allow-ip", range));
    notes(fields).for_each(|note| add("--meta", note));
    if let Some(days) = fields.given("rotate_every") {
        add("--rotate-every", &format!("{days}d"));
    }
    let mut lines = vec!["keygate key create".to_owned()];
    if fields.text("environment") == "test" {
        lines.push("--test".to_owned());
    }
    lines.extend(flags.iter().map(|(flag, value)| format!("{flag} {}", quoted(value))));
    lines.join(" \\\n  ")
}

fn curl(fields: &Fields, admin: &str) -> String {
    let body = serde_json::to_string_pretty(&body(fields)).unwrap_or_default();
    format!(
        "curl {admin}/admin/v1/keys \\\n  -H \"Authorization: Bearer $KEYGATE_ADMIN_TOKEN\" \\\n  \
         -H 'Content-Type: application/json' \\\n  -d {}",
        quoted(&body)
    )
}

fn body(fields: &Fields) -> Value {
    let mut body = Map::from_iter([("name".to_owned(), json!(fields.text("name")))]);
    let mut add = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    for (field, name) in [("owner", "owner"), ("parent", "parent_id")] {
        if let Some(value) = fields.given(field) {
            add(name, json!(value));
        }
    }
    if fields.text("environment") == "test" {
        add("environment", json!("test"));
    }
    let mut add_list = |name: &str, list: Vec<&str>| {
        if !list.is_empty() {
            add(name, json!(list));
        }
    };
    add_list("scopes", scopes(fields).collect());
    add_list("permissions", fields.all("permission").collect());
    add_list("limits", fields.words("limits").collect());
    add_list("allowed_ips", fields.words("allowed_ips").collect());
    if let Some(budget) = fields.given("budget") {
        add("monthly_budget", json!(budget));
    }
    if let Some(end) = expiry(fields) {
        add("expires", json!(end));
    }
    let notes = notes(fields).filter_map(|note| note.split_once('='));
    let notes: Map<String, Value> = notes.map(|(n, v)| (n.to_owned(), json!(v))).collect();
    if !notes.is_empty() {
        add("metadata", Value::Object(notes));
    }
    if let Some(days) = fields.given("rotate_every").and_then(|days| days.parse::<u32>().ok()) {
        add("rotation_interval_days", json!(days));
    }
    Value::Object(body)
}

/// The end in words that the command and the API both take: `90d`, `never`, a day.
fn expiry(fields: &Fields) -> Option<&str> {
    match fields.text("expires") {
        "date" => fields.given("expires_on"),
        chosen => Some(chosen).filter(|chosen| !chosen.is_empty()),
    }
}

fn scopes(fields: &Fields) -> impl Iterator<Item = &str> {
    fields.all("scope").chain(fields.words("other_scopes"))
}

fn notes(fields: &Fields) -> impl Iterator<Item = &str> {
    fields.text("metadata").lines().map(str::trim).filter(|line| !line.is_empty())
}

/// A word as shells take it whole (POSIX.1-2024, section 2.2.2).
pub(super) fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:@%+=,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields() -> Fields {
        let pairs = [
            ("name", "Bob's key"),
            ("owner", "acme"),
            ("environment", "test"),
            ("scope", "*"),
            ("permission", "write"),
            ("expires", "90d"),
            ("limits", "60/min, 9/s"),
            ("allowed_ips", "10.0.0.0/8"),
            ("metadata", "team=core; rm -rf"),
            ("rotate_every", "30"),
            ("budget", "5.00"),
        ];
        Fields(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec())
    }

    fn same() -> Same {
        Same::new(&fields(), "http://h:1")
    }

    #[test]
    fn the_command_has_a_flag_for_each_field_and_no_word_leaves_its_quotes() {
        insta::assert_snapshot!(same().command, @r"
        keygate key create \
          --test \
          --name 'Bob'\''s key' \
          --owner acme \
          --scope '*' \
          --permission write \
          --expires 90d \
          --budget 5.00 \
          --limit 60/min \
          --limit 9/s \
          --allow-ip 10.0.0.0/8 \
          --meta 'team=core; rm -rf' \
          --rotate-every 30d
        ");
    }

    #[test]
    fn the_call_says_the_same_as_json() {
        let curl = same().curl;
        let (_, body) = curl.split_once("-d '").unwrap();
        let body = body.strip_suffix('\'').unwrap().replace(r"'\''", "'");
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            body,
            json!({
                "name": "Bob's key", "owner": "acme", "environment": "test", "scopes": ["*"],
                "permissions": ["write"], "limits": ["60/min", "9/s"],
                "allowed_ips": ["10.0.0.0/8"], "monthly_budget": "5.00",
                "expires": "90d", "metadata": {"team": "core; rm -rf"},
                "rotation_interval_days": 30
            })
        );
    }
}
