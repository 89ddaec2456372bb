//! The commands, run as people and programs run them: the built binary on a SQLite store.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::leaks;
use crate::support::postgres::Postgres;

const CONFIG: &str = r#"
store.url = "sqlite://STORE"
usage.journal = "STORE.usage"
keys.argon2 = { memory = "64KiB", iterations = 1, parallelism = 1 }
[scopes]
"agents:read" = "Read agents"
"agents:write" = "Write agents"
[permissions]
read-only = ["agents:read"]
[upstreams.api]
targets = ["http://127.0.0.1:9"]
[[routes]]
path = "/v1/agents"
scopes = ["agents:read"]
upstream = "api"
"#;

/// A directory with a configuration and a store of its own.
struct Place {
    directory: TempDir,
}

/// What a command did.
struct Done {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        Self::with(CONFIG)
    }

    fn with(config: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let store = directory.path().join("keys.db");
        let config = config.replace("STORE", store.to_str().unwrap());
        std::fs::write(directory.path().join("keygate.toml"), config).unwrap();
        Self { directory }
    }

    fn config(&self) -> PathBuf {
        self.directory.path().join("keygate.toml")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_keygate"));
        command.args(arguments).current_dir(self.directory.path()).stdin(Stdio::null());
        for variable in ["KEYGATE_CONFIG", "DATABASE_URL", "CLICOLOR_FORCE"] {
            command.env_remove(variable);
        }
        command
    }

    fn run(&self, arguments: &[&str]) -> Done {
        let done = Done::from(self.command(arguments).output().unwrap());
        leaks::note_all(&done.stdout);
        leaks::search("what a command says beside its output", done.stderr.as_bytes());
        done
    }

    /// Runs what must succeed; its stdout without the last line's end.
    fn ok(&self, arguments: &[&str]) -> String {
        let done = self.run(arguments);
        assert_eq!(done.code, 0, "{arguments:?}: {}", done.stderr);
        done.stdout.trim_end().to_owned()
    }

    /// Runs what must succeed and print JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.ok(&[&["--json"], arguments].concat())).unwrap()
    }

    /// Makes a key; its id and its secret.
    fn key(&self, arguments: &[&str]) -> (String, String) {
        let made = self.json(&[&["key", "create", "--name", "k"], arguments].concat());
        (text(&made["id"]), text(&made["secret"]))
    }

    /// Runs what must fail; its code and stderr.
    fn fails(&self, arguments: &[&str]) -> (i32, String) {
        let done = self.run(arguments);
        assert_ne!(done.code, 0, "{arguments:?}: {}", done.stdout);
        (done.code, done.stderr)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            leaks::search_folder(self.directory.path());
        }
    }
}

impl From<Output> for Done {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

#[test]
fn a_new_secret_stands_alone_on_stdout() {
    let place = Place::new();
    let done = place.run(&["key", "create", "--name", "ci", "--scope", "agents:read"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let secret = done.stdout.strip_suffix('\n').unwrap();
    assert!(secret.starts_with("sk_live_") && secret.len() == 46, "{}", done.stdout);
    assert!(done.stderr.contains("`ci`") && !done.stderr.contains(secret), "{}", done.stderr);

    let quiet = place.run(&["key", "create", "--name", "ci", "--quiet", "--test"]);
    assert!(quiet.stdout.starts_with("sk_test_"), "{}", quiet.stdout);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn a_key_as_json_has_the_shape_of_the_contract() {
    let place = Place::new();
    let made = place.json(&[
        "key",
        "create",
        "--name",
        "ci",
        "--permission",
        "read-only",
        "--expires",
        "2099-01-31",
        "--limit",
        "1000/hour",
        "--limit",
        "60/min",
        "--allow-ip",
        "10.0.0.0/8",
        "--meta",
        "team=core",
    ]);
    let redacted = || {
        insta::dynamic_redaction(|value, _| {
            let text = value.as_str().unwrap();
            assert!(text.ends_with('Z') && text.contains('T'), "{text} is no time in UTC");
            "[time]"
        })
    };
    insta::assert_json_snapshot!(made, {
        ".id" => "[key id]",
        ".created_at" => redacted(),
        ".secrets[].created_at" => redacted(),
        ".rotation.due_at" => redacted(),
        ".secrets[].id" => "[public id]",
        ".secrets[].hint" => "[hint]",
        ".secret" => "[secret]",
    });
    let mut shown = place.json(&["key", "show", &text(&made["id"])]);
    shown["secret"] = made["secret"].clone();
    assert_eq!(shown, made);
    let list = place.json(&["key", "list"]);
    assert_eq!(list["next_cursor"], Value::Null);
    assert_eq!(list["data"][0]["id"], made["id"]);
}

#[test]
fn a_key_is_listed_for_people_without_its_secret() {
    let place = Place::new();
    let (id, secret) = place.key(&["--scope", "agents:*", "--owner", "default"]);
    let list = place.ok(&["key", "list"]);
    let lines: Vec<&str> = list.lines().collect();
    assert_eq!(
        lines[0].split("  ").filter(|h| !h.is_empty()).map(str::trim).collect::<Vec<_>>(),
        ["ID", "NAME", "OWNER", "ENVIRONMENT", "STATUS", "SCOPES", "EXPIRES", "LAST USED"]
    );
    assert!(lines[1].starts_with(&id) && lines[1].contains("agents:*"), "{list}");
    for output in [list, place.ok(&["key", "show", &id]), place.ok(&["agent", "list"])] {
        assert!(!output.contains(&secret), "{output}");
    }
}

#[test]
fn lists_are_narrowed_and_paged() {
    let place = Place::new();
    place.ok(&["owner", "create", "acme"]);
    let (first, _) = place.key(&["--owner", "acme"]);
    let (second, _) = place.key(&[]);
    let ids = |arguments: &[&str]| -> Vec<String> {
        let list = place.json(&[&["key", "list"], arguments].concat());
        list["data"].as_array().unwrap().iter().map(|key| text(&key["id"])).collect()
    };
    assert_eq!(ids(&[]), [second.clone(), first.clone()]);
    assert_eq!(ids(&["--owner", "acme"]), [first.as_str()]);
    place.ok(&["key", "disable", &first]);
    assert_eq!(ids(&["--status", "disabled"]), [first.as_str()]);
    assert_eq!(ids(&["--older-than", "1d"]), [""; 0]);
    assert_eq!(ids(&["--unused-for", "0"]).len(), 2);
    let page = place.json(&["key", "list", "--limit", "1"]);
    let cursor = text(&page["next_cursor"]);
    assert_eq!(ids(&["--limit", "1", "--cursor", &cursor]), [first]);
}

#[test]
fn every_flag_of_create_changes_a_key_in_place() {
    let place = Place::new();
    let (id, _) = place.key(&["--scope", "agents:read", "--limit", "1/s", "--meta", "a=1"]);
    let before = place.json(&["key", "show", &id]);
    let changed = place.json(&[
        "key",
        "update",
        &id,
        "--name",
        "new",
        "--scope",
        "agents:write",
        "--expires",
        "1d",
        "--limit",
        "5/min",
        "--allow-ip",
        "192.0.2.1",
        "--meta",
        "a=",
        "--meta",
        "b=2",
    ]);
    assert_eq!(changed["name"], "new");
    assert_eq!(changed["scopes"], serde_json::json!(["agents:write"]));
    assert_eq!(changed["limits"], serde_json::json!(["5/min"]));
    assert_eq!(changed["allowed_ips"], serde_json::json!(["192.0.2.1"]));
    assert_eq!(changed["metadata"], serde_json::json!({ "b": "2" }));
    assert_eq!(changed["secrets"], before["secrets"]);

    let arguments = ["key", "update", &id, "--no-scopes", "--no-limits", "--any-ip", "--expires"];
    let emptied = place.json(&[&arguments[..], &["never"]].concat());
    for field in ["scopes", "limits", "allowed_ips"] {
        assert_eq!(emptied[field], serde_json::json!([]), "{field}");
    }
    assert_eq!(emptied["expires_at"], Value::Null);
    assert_eq!(place.fails(&["key", "update", &id]).0, 2);
}

#[test]
fn a_key_is_named_by_id_by_public_id_and_by_hint_but_never_by_its_secret() {
    let place = Place::new();
    let (id, secret) = place.key(&[]);
    for name in [id.as_str(), &secret[8..16], &secret[..16]] {
        assert_eq!(place.json(&["key", "show", name])["id"], id.as_str());
    }
    for command in ["show", "rotate", "disable", "enable", "revoke"] {
        let (code, stderr) = place.fails(&["key", command, &secret]);
        assert_eq!(code, 2);
        assert!(stderr.contains("hint:") && !stderr.contains(&secret[16..]), "{stderr}");
    }
    let (code, stderr) = place.fails(&["key", "show", &secret[..40]]);
    assert_eq!(code, 1);
    assert!(!stderr.contains(&secret[16..40]), "{stderr}");
}

#[test]
fn a_rotated_key_keeps_two_live_secrets_at_most() {
    let place = Place::new();
    let (id, first) = place.key(&[]);
    let rotated = place.run(&["key", "rotate", &id, "--grace", "1h"]);
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    assert!(rotated.stdout.starts_with("sk_live_") && rotated.stdout.trim_end() != first);
    let (code, stderr) = place.fails(&["key", "rotate", &id]);
    assert_eq!(code, 1);
    assert!(stderr.contains("two live secrets") && stderr.contains("--replace"), "{stderr}");
    let replaced = place.json(&["key", "rotate", &id, "--replace", "--grace", "0"]);
    let statuses: Vec<String> =
        replaced["secrets"].as_array().unwrap().iter().map(|s| text(&s["status"])).collect();
    assert_eq!(statuses.iter().filter(|s| *s == "active").count(), 1, "{statuses:?}");
    assert!(!statuses.contains(&"grace".to_owned()), "{statuses:?}");
    assert!(text(&replaced["secret"]).starts_with("sk_live_"));
}

#[test]
fn disabling_can_be_undone_and_revoking_cannot() {
    let place = Place::new();
    let (id, _) = place.key(&[]);
    assert_eq!(place.json(&["key", "disable", &id])["status"], "disabled");
    assert_eq!(place.json(&["key", "enable", &id])["status"], "active");
    let receipt = place.json(&["key", "revoke", &id, "--reason", "left", "--no-wait"]);
    assert_eq!(receipt, serde_json::json!({ "id": id, "status": "revoked", "revoked": 1 }));
    assert_eq!(place.json(&["key", "revoke", &id])["revoked"], 0);
    for command in [&["key", "enable", &id][..], &["key", "rotate", &id]] {
        let (code, stderr) = place.fails(command);
        assert_eq!(code, 1);
        assert!(stderr.contains("revoked"), "{stderr}");
    }
    assert!(place.ok(&["key", "show", &id]).contains("left"));
}

#[test]
fn one_secret_of_a_key_is_revoked_by_its_public_characters() {
    let place = Place::new();
    let (id, first) = place.key(&[]);
    place.ok(&["key", "rotate", &id, "--quiet"]);
    let receipt = place.json(&["key", "revoke", &id, "--secret", &first[8..16]]);
    assert_eq!(receipt["status"], "active");
    assert_eq!(receipt["secret_id"], &first[8..16]);
    assert_eq!(place.fails(&["key", "revoke", &id, "--secret", &first[8..16]]).0, 1);
    let (code, stderr) = place.fails(&["key", "revoke", &id, "--secret", &first]);
    assert_eq!(code, 2);
    assert!(!stderr.contains(&first), "{stderr}");
}

#[test]
fn errors_say_what_to_do_and_the_exit_code_whose_fault_it_is() {
    let place = Place::new();
    place.ok(&["owner", "create", "acme"]);
    for (arguments, code, error, hint) in [
        (&["--scope", "agents:raed"][..], 2, "unknown scope `agents:raed`", "`agents:read`"),
        (&["--permission", "all"], 2, "unknown permission `all`", "read-only"),
        (&["--owner", "acne"], 1, "there is no owner `acne`", "`acme`"),
        (&["--expires", "2001-01-01"], 2, "in the past", "key revoke"),
        (&["--limit", "1/s", "--limit", "2/s"], 2, "two limits for one window", ""),
        (&["--meta", "a=1", "--meta", "a=2"], 2, "given twice", ""),
        (&["--budget=-1"], 2, "a decimal number", ""),
        (&["--budget", "0.0000001"], 2, "at most six decimals", ""),
        (&["--parent", "key_1"], 1, "there is no key `key_1`", "key list"),
        (&["--limit", "many"], 2, "like 60/min", ""),
        (&["--allow-ip", "home"], 2, "CIDR", ""),
        (&["--colour", "red"], 2, "unexpected argument", ""),
    ] {
        let (got, stderr) = place.fails(&[&["key", "create", "--name", "k"], arguments].concat());
        assert_eq!(got, code, "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
        assert!(stderr.contains(error) && stderr.contains(hint), "{arguments:?}: {stderr}");
        assert_eq!(hint.is_empty(), !stderr.contains("hint: "), "{stderr}");
    }
    let (code, stderr) = place.fails(&["key", "show", "key_gone"]);
    assert_eq!((code, stderr.contains("key list")), (1, true), "{stderr}");
    assert_eq!(place.fails(&["key", "create", "--name", ""]).0, 2);
    assert_eq!(place.json(&["key", "list"])["data"], serde_json::json!([]));
}

#[test]
fn owners_are_made_listed_and_switched() {
    let place = Place::new();
    let made = place.json(&["owner", "create", "acme"]);
    assert_eq!((&made["name"], &made["status"]), (&"acme".into(), &"active".into()));
    assert_eq!(place.json(&["owner", "disable", "acme"])["status"], "disabled");
    let id = text(&made["id"]);
    assert_eq!(place.json(&["owner", "show", &id])["status"], "disabled");
    assert_eq!(place.json(&["owner", "enable", &id])["status"], "active");
    let list = place.json(&["owner", "list"]);
    let names: Vec<String> =
        list["data"].as_array().unwrap().iter().map(|owner| text(&owner["name"])).collect();
    assert!(names.contains(&"acme".to_owned()) && names.contains(&"default".to_owned()));
    assert_eq!(place.fails(&["owner", "create", "acme"]).0, 1);
    assert!(place.ok(&["owner", "list"]).starts_with("ID"));
}

#[test]
fn an_admin_token_stands_alone_on_stdout_and_has_the_documented_shape() {
    let place = Place::new();
    let done = place.run(&["admin-token", "create", "--name", "ops"]);
    assert_eq!(done.code, 0, "{}", done.stderr);
    let token = done.stdout.trim_end();
    leaks::note(token);
    assert!(token.starts_with("kga_") && token.len() == 42, "{token}");
    assert!(done.stderr.contains("admin token `ops`") && !done.stderr.contains(token));
    let quiet = place.run(&["admin-token", "create", "--name", "ci", "--quiet"]);
    leaks::note(quiet.stdout.trim_end());
    assert_eq!((quiet.code, quiet.stderr.as_str()), (0, ""));

    let end = "2099-01-31";
    let flags = ["--name", "look", "--role", "viewer", "--expires", end];
    let made = place.json(&[&["admin-token", "create"], &flags[..]].concat());
    leaks::note(&text(&made["token"]));
    insta::assert_json_snapshot!(made, {
        ".id" => "[token id]",
        ".created_at" => "[time]",
        ".hint" => "[hint]",
        ".token" => "[token]",
    });
    let list = place.json(&["admin-token", "list"]);
    let mut listed = list["data"][0].clone();
    assert!(listed["token"].is_null());
    listed["token"] = made["token"].clone();
    assert_eq!(listed, made);
    let names: Vec<&str> =
        list["data"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["look", "ci", "ops"]);
    let table = place.ok(&["admin-token", "list"]);
    let heads: Vec<&str> = table
        .lines()
        .next()
        .unwrap()
        .split("  ")
        .filter(|it| !it.is_empty())
        .map(str::trim)
        .collect();
    let expected = ["ID", "NAME", "ROLE", "STATUS", "HINT", "CREATED", "EXPIRES", "LAST USED"];
    assert_eq!(heads, expected);
    assert!(!table.contains(token), "{table}");
}

#[test]
fn an_admin_token_is_revoked_by_id_or_hint_and_never_by_itself() {
    let place = Place::new();
    let tokens: Vec<String> = (0..3)
        .map(|_| {
            let token = place.ok(&["admin-token", "create", "--name", "a", "--quiet"]);
            leaks::note(&token);
            token
        })
        .collect();
    let revoked = place.json(&["admin-token", "revoke", &tokens[0][..12]]);
    assert_eq!(revoked["status"], "revoked");
    assert_eq!(place.json(&["admin-token", "revoke", &tokens[1][4..12]])["status"], "revoked");
    let id = text(&place.json(&["admin-token", "list"])["data"][0]["id"]);
    let told = place.ok(&["admin-token", "revoke", &id]);
    assert_eq!(told, format!("Revoked token `a` ({id})"));
    assert!(place.ok(&["admin-token", "revoke", &id]).starts_with("It was revoked before"));
    for (named, code, error) in [
        (tokens[0].as_str(), 2, "never taken as an argument"),
        (&tokens[0][..40], 1, "there is no admin token"),
        ("adm_gone", 1, "there is no admin token `adm_gone`"),
    ] {
        let (got, stderr) = place.fails(&["admin-token", "revoke", named]);
        assert_eq!(got, code, "{stderr}");
        assert!(stderr.contains(error) && stderr.contains("hint: "), "{stderr}");
    }
}

#[test]
fn an_admin_token_that_cannot_be_is_not_made() {
    let place = Place::new();
    let long = "a".repeat(101);
    for (flags, error) in [
        (&["--name", "a", "--expires", "2001-01-01"][..], "in the past"),
        (&["--name", "a", "--expires", "0s"], "in the past"),
        (&["--name", "a", "--expires", "soon"], "say `never`"),
        (&["--name", "a", "--role", "owner"], "possible values: admin, viewer"),
        (&["--name", " "], "1 to 100 characters"),
        (&["--name", &long], "1 to 100 characters"),
        (&["--name", "a\nb"], "no line breaks or other control characters"),
        (&[], "--name"),
    ] {
        let (code, stderr) = place.fails(&[&["admin-token", "create"], flags].concat());
        assert_eq!(code, 2, "{flags:?}: {stderr}");
        assert!(stderr.contains(error), "{flags:?}: {stderr}");
    }
    assert_eq!(place.json(&["admin-token", "list"])["data"], serde_json::json!([]));
}

#[test]
fn agents_are_keys_in_the_words_of_agent_otp() {
    let place = Place::with(&CONFIG.replace(
        "[scopes]",
        "[keys]\nlive_prefix = \"ak_live_\"\ntest_prefix = \"ak_test_\"\nchecksum = false\n[scopes]",
    ).replace("keys.argon2 = { memory = \"64KiB\", iterations = 1, parallelism = 1 }\n", ""));
    let done = place.run(&["agent", "create", "--name", "my-assistant"]);
    assert_eq!(done.stderr, "Agent created successfully!\nAPI Key: ");
    let secret = done.stdout.trim_end();
    assert!(secret.starts_with("ak_live_") && secret.len() == 40, "{secret}");
    let list = place.json(&["agent", "list"]);
    let id = text(&list["data"][0]["id"]);
    assert!(place.ok(&["agent", "list"]).contains("my-assistant"));
    place.ok(&["agent", "revoke", "--id", &id]);
    assert_eq!(place.json(&["key", "show", &id])["status"], "revoked");
}

#[test]
fn migrate_says_what_it_did_and_is_done_only_once() {
    let place = Place::new();
    let before = place.json(&["migrate", "--status"]);
    assert_eq!(before["found"], 0);
    assert_ne!(before["pending"], serde_json::json!([]));
    assert!(place.ok(&["migrate"]).contains("applied"));
    assert!(place.ok(&["migrate", "--status"]).contains("up to date"));
}

#[test]
fn a_configuration_is_found_where_it_is_named_or_usual() {
    let place = Place::new();
    let file = place.config();
    assert!(place.ok(&["config", "check"]).contains("is valid"));
    let elsewhere = TempDir::new().unwrap();
    let run = |arguments: &[&str], variable: bool| {
        let mut command = place.command(arguments);
        command.current_dir(elsewhere.path());
        if variable {
            command.env("KEYGATE_CONFIG", &file);
        }
        Done::from(command.output().unwrap())
    };
    assert_eq!(run(&["config", "check"], true).code, 0);
    assert_eq!(run(&["config", "check", "-c", file.to_str().unwrap()], false).code, 0);
    let none = run(&["config", "check"], false);
    assert_eq!(none.code, 2);
    assert!(
        none.stderr.starts_with("error: ") && none.stderr.contains("hint: "),
        "{}",
        none.stderr
    );
}

#[test]
fn a_wrong_configuration_is_refused_with_every_place() {
    let place = Place::with(&CONFIG.replace("[scopes]", "[scope]").replace("path =", "pth ="));
    let file = place.config();
    for command in [&["config", "check"][..], &["key", "list"], &["serve"], &["config", "show"]] {
        let (code, stderr) = place.fails(&[&["-c", file.to_str().unwrap()], command].concat());
        assert_eq!(code, 2, "{stderr}");
        let errors = stderr.lines().filter(|line| line.starts_with("error: ")).count();
        assert!(errors >= 2, "{stderr}");
        let place = format!("error: {}:", file.display());
        assert!(
            stderr.lines().all(|l| l.starts_with(&place) || l.starts_with("hint: ")),
            "{stderr}"
        );
    }
    let done = place.run(&["config", "check", "--json"]);
    let checked: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((done.code, &checked["valid"]), (2, &Value::Bool(false)));
    assert!(checked["problems"][0]["line"].as_u64().unwrap() > 0);
}

#[test]
fn the_configuration_is_shown_and_its_schema_needs_none() {
    let place = Place::new();
    assert!(place.ok(&["config", "show"]).contains("/v1/agents"));
    assert_eq!(place.json(&["config", "show"])["routes"][0]["path"], "/v1/agents");
    std::fs::remove_file(place.config()).unwrap();
    let schema: Value = serde_json::from_str(&place.ok(&["config", "schema"])).unwrap();
    assert!(schema["properties"]["server"].is_object());
}

#[test]
fn documents_are_made_of_the_commands_themselves() {
    let place = Place::new();
    std::fs::remove_file(place.config()).unwrap();
    for shell in ["bash", "zsh", "fish"] {
        assert!(place.ok(&["completions", shell]).contains("rotate"), "{shell}");
    }
    assert!(place.ok(&["man"]).contains(".TH keygate"));
    assert!(place.ok(&["man", "key", "create"]).contains("allow\\-ip"));
    let (code, stderr) = place.fails(&["man", "key", "forge"]);
    assert_eq!((code, stderr.contains("hint: it has create")), (2, true), "{stderr}");
    assert!(place.ok(&["--version"]).starts_with("keygate "));
}

#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    let place = Place::new();
    let mut child = place
        .command(&["completions", "bash"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), done.stderr), (Some(0), Vec::new()));
}

#[test]
fn a_gateway_that_does_not_run_is_not_ready() {
    let place = Place::with(&format!("admin.listen = \"127.0.0.1:1\"\n{CONFIG}"));
    let (code, stderr) = place.fails(&["health"]);
    assert_eq!(code, 1);
    assert!(stderr.contains("not ready"), "{stderr}");
}

#[test]
fn explain_takes_a_secret_from_standard_input_only() {
    let place = Place::new();
    let (_, secret) = place.key(&[]);
    let (code, stderr) = place.fails(&["explain", "GET", "/v1/agents", "--key-id", &secret]);
    assert_eq!(code, 2);
    assert!(!stderr.contains(&secret[16..]), "{stderr}");
    let mut child = place
        .command(&["explain", "GET", "/v1/agents", "--key-stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let done = Done::from(child.wait_with_output().unwrap());
    assert_eq!((done.code, done.stderr.contains("no secret")), (2, true), "{}", done.stderr);
}

#[test]
fn echo_says_where_it_listens_and_answers_with_the_request() {
    let place = Place::new();
    let mut child =
        place.command(&["echo", "--listen", "127.0.0.1:0"]).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("echo listens on http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /a?b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let echoed: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&echoed["path"], &echoed["query"]), (&"/a".into(), &"b".into()));
}

#[test]
fn explain_says_which_check_refuses_and_what_the_client_would_get() {
    let place = Place::new();
    let (id, secret) = place.key(&["--scope", "agents:write"]);
    let explained = place.json(&["explain", "GET", "/v1/agents", "--key-id", &id]);
    let last = explained["checks"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["step"], &last["outcome"]), (&"scope".into(), &"refused".into()));
    assert_eq!(explained["answer"]["status"], 403);
    place.ok(&["key", "update", &id, "--scope", "agents:*"]);
    let words = place.ok(&["explain", "GET", "/v1/agents", "--key-id", &id]);
    assert!(words.contains("scope") && !words.contains("REFUSED"), "{words}");
    let path = format!("/v1/agents/{secret}");
    assert!(!place.ok(&["explain", "GET", &path]).contains(&secret));
}

#[test]
fn a_postgres_store_that_is_behind_is_migrated_by_command_only() {
    let Some(postgres) = Postgres::shared() else { return };
    let place = Place::with(&CONFIG.replace("sqlite://STORE", &postgres.database()));
    for command in [&["key", "list"][..], &["serve"]] {
        let (code, stderr) = place.fails(command);
        assert_eq!(code, 1, "{stderr}");
        assert!(stderr.contains("hint: run `keygate migrate`"), "{stderr}");
    }
    assert!(place.ok(&["migrate"]).contains("applied"));
    let (id, _) = place.key(&["--scope", "agents:read"]);
    assert_eq!(place.json(&["key", "list"])["data"][0]["id"], id.as_str());
}

#[test]
fn a_child_is_made_under_its_parent_and_shown_below_it() {
    let place = Place::new();
    let make = |arguments: &[&str]| {
        let given = ["--json", "key", "create", "--name", "k"];
        let made: Value = serde_json::from_str(&place.ok(&[&given, arguments].concat())).unwrap();
        made["id"].as_str().unwrap().to_owned()
    };
    let top = make(&["--scope", "agents:read", "--budget", "50", "--expires", "90d"]);
    let child = make(&["--parent", &top, "--budget", "25.5"]);
    let grandchild = make(&["--parent", &child]);
    for (wide, error) in [
        (&["--scope", "agents:write"][..], "does not have the scope `agents:write`"),
        (&["--budget", "25.500001"], "the budget would be wider than its parent's"),
        (&["--expires", "never"], "the expiry would be wider than its parent's"),
        (&["--test"], "parent's owner and environment"),
    ] {
        let given = ["key", "create", "--name", "k", "--parent", &child];
        let (code, stderr) = place.fails(&[&given, wide].concat());
        assert_eq!(code, 2, "{wide:?}: {stderr}");
        assert!(stderr.contains(error), "{wide:?}: {stderr}");
    }
    let shown = place.ok(&["key", "show", &top]);
    assert!(shown.contains("Monthly budget") && shown.contains("50.00"), "{shown}");
    let tree: Vec<&str> = shown.lines().skip_while(|line| !line.starts_with("CHILD")).collect();
    assert!(tree[1].starts_with(&child) && tree[1].contains("25.50"), "{shown}");
    assert!(tree[2].starts_with(&format!("  {grandchild}")), "{shown}");
    place.ok(&["key", "update", &child, "--budget", "none"]);
    assert_eq!(place.fails(&["key", "update", &child, "--budget", "51"]).0, 2);
    let shown: Value = serde_json::from_str(&place.ok(&["--json", "key", "show", &child])).unwrap();
    assert_eq!(shown["monthly_budget"], Value::Null);
    assert_eq!(shown["parent_id"], top.as_str());
}
