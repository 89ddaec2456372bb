//! Changing a key in place by the dashboard.

use serde_json::json;

use super::{admin, gateway, hidden};
use crate::support::{Origin, until};

#[test]
fn what_is_changed_is_in_force_and_what_was_spent_stays() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let key = gateway.key("--name before --scope agents:read --budget 1.00 --meta team=core");
    assert_eq!(gateway.curl("/agents").bearer(&key).send().status, 200);
    let show = || gateway.run(&format!("key show {}", key.id()));
    until("the call is paid", || show()["spent"] == "0.50");
    let admin = admin(&gateway);
    let path = format!("/keys/{}/edit", key.id());
    let form = admin.page(&path);
    assert!(form.contains("value=\"before\"") && form.contains("team=core"), "{form}");
    let seen = hidden(&form, "seen");
    let answer = admin.post(
        &path,
        &[
            ("seen", &seen),
            ("name", "after"),
            ("owner", "default"),
            ("scope", "billing:read"),
            ("budget", "0.75"),
            ("limits", "9/min"),
            ("metadata", "url=x"),
            ("expires", ""),
        ],
    );
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert!(admin.page(answer.header("location").unwrap()).contains("The key was changed"));
    let changed = show();
    assert_eq!(changed["name"], "after");
    assert_eq!(changed["scopes"], json!(["billing:read"]));
    assert_eq!(changed["monthly_budget"], "0.75");
    assert_eq!(changed["limits"], json!(["9/min"]));
    assert_eq!(changed["metadata"], json!({"url": "x"}));
    assert_eq!(changed["spent"], "0.50", "what it has spent stays");
    until("the gateway goes by it", || gateway.curl("/agents").bearer(&key).send().status == 403);
    assert_eq!(gateway.curl("/invoices").bearer(&key).send().status, 200);
}

#[test]
fn a_change_is_not_written_over_another_one_and_an_unchanged_form_changes_nothing() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let key = gateway.key("--name before --scope agents:read");
    let admin = admin(&gateway);
    let path = format!("/keys/{}/edit", key.id());
    let seen = hidden(&admin.page(&path), "seen");
    let same = [("seen", seen.as_str()), ("name", "before"), ("scope", "agents:read")];
    let answer = admin.post(&path, &same);
    assert_eq!(
        answer.header("location"),
        Some(format!("/keys/{}?done=unchanged", key.id()).as_str())
    );
    let audit = gateway.run(&format!("audit --key {}", key.id()));
    assert_eq!(audit["data"].as_array().map(Vec::len), Some(1), "only its making: {audit}");
    gateway.run(&format!("key update {} --name meanwhile", key.id()));
    let mine = [("seen", seen.as_str()), ("name", "mine"), ("scope", "agents:read")];
    let conflict = admin.post(&path, &mine);
    assert_eq!(conflict.status, 422);
    assert!(conflict.text().contains("Somebody has changed this key"), "{}", conflict.text());
    assert!(conflict.text().contains("value=\"mine\""), "what was typed stays");
    let name = || gateway.run(&format!("key show {}", key.id()))["name"].clone();
    assert_eq!(name(), "meanwhile");
    let seen = hidden(&conflict.text(), "seen");
    let mine = [("seen", seen.as_str()), ("name", "mine"), ("scope", "agents:read")];
    assert_eq!(admin.post(&path, &mine).status, 303);
    assert_eq!(name(), "mine");
}
