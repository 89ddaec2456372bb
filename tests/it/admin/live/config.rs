//! The configuration: shown, looked at, reloaded.

use serde_json::{Value, json};

use super::Scene;
use crate::support::Origin;

const NEW_ROUTE: &str = "[[routes]]\npath = \"/new\"\npublic = true\nupstream = \"api\"";

#[test]
fn a_reload_puts_the_changed_file_in_force_at_once_and_is_in_the_audit_log() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    assert_eq!(scene.gateway.curl("/new").send().status, 404);
    scene.gateway.rewrite(NEW_ROUTE);
    let answer = scene.sent("config/reload", &Value::Null);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(scene.gateway.curl("/new").send().status, 200);
    let hash = answer.json()["hash"].clone();
    assert_eq!((&answer.json()["reloaded"], &scene.seen("config")["hash"]), (&true.into(), &hash));
    let audit = scene.gateway.run("audit");
    let row = audit["data"].as_array().unwrap().iter().find(|row| row["action"] == "config.reload");
    let row = row.unwrap_or_else(|| panic!("no reload in {audit}"));
    assert_eq!((&row["after"]["hash"], &row["address"]), (&hash, &"127.0.0.1".into()));
}

#[test]
fn a_bad_file_is_refused_with_what_is_wrong_and_changes_nothing() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    let before = scene.seen("config");
    scene.gateway.installation().spoil("nonsense = 1");
    let refused = scene.sent("config/reload", &Value::Null);
    refused.is_error(422, "invalid_configuration");
    let text = refused.text();
    assert!(text.contains("keygate.toml:1:1: ") && text.contains("nonsense"), "{text}");
    assert_eq!(scene.seen("config"), before);
    assert_eq!(scene.gateway.curl("/open").send().status, 200);
}

#[test]
fn a_viewer_may_look_at_the_configuration_and_not_reload_it() {
    let origin = Origin::start();
    let scene = Scene::of(
        &origin,
        "[upstreams.api]\nset_headers = { authorization = \"Bearer hidden-word\" }",
    );
    let viewer = scene.gateway.admin_token("--name eyes --role viewer");
    let reload = scene.gateway.sent(&viewer, "POST", "/admin/v1/config/reload", &Value::Null);
    reload.is_error(403, "forbidden");
    let seen = scene.gateway.seen(&viewer, "/admin/v1/config");
    assert_eq!(seen["config"]["upstreams"]["api"]["set_headers"]["authorization"], "***", "{seen}");
    assert!(!seen.to_string().contains("hidden-word"));
}

#[test]
fn a_text_is_looked_at_without_anything_of_the_process() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    let check = |toml: &str| {
        let answer = scene.sent("config/check", &json!({"toml": toml}));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let bad = check("[server]\nlisten = [\"nowhere\"]\nworkers = \"many\"\n[cash]\n");
    let places = |it: &Value| -> Vec<(u64, u64)> {
        let rows = it.as_array().unwrap().iter();
        rows.map(|row| (row["line"].as_u64().unwrap(), row["column"].as_u64().unwrap())).collect()
    };
    assert_eq!(bad["valid"], false);
    assert_eq!(places(&bad["problems"]), [(2, 11), (3, 11), (4, 2)], "{bad}");
    assert_eq!(bad["problems"][2]["hint"], "did you mean `cache`?", "{bad}");

    let secret = check("[access_log]\nformat = \"${KEYGATE_LOG}\"\n");
    assert_eq!(secret["valid"], true, "{secret}");
    // Beside that there are no routes.
    assert_eq!(places(&secret["warnings"]), [(1, 1), (2, 10)], "{secret}");
    assert!(!secret.to_string().contains("debug"), "a variable's value: {secret}");

    let files = check("[cache]\nkey_file = \"/nowhere/at/all\"\n");
    assert_eq!((&files["valid"], &files["problems"]), (&true.into(), &json!([])), "{files}");
    scene.sent("config/check", &json!({"text": ""})).is_error(400, "bad_request");
}
