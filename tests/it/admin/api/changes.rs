//! Who changed what is on record, and nobody changes what he has not seen.

use serde_json::json;

use super::{Scene, reader};
use crate::support::Answer;

fn tag(answer: &Answer) -> String {
    let tag = answer.header("etag").unwrap_or_else(|| panic!("no ETag: {}", answer.text()));
    assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag} is strong and quoted");
    tag.to_owned()
}

#[test]
fn a_change_of_another_state_than_the_asker_has_seen_is_not_made() {
    let scene = Scene::new();
    let key = scene.key(&reader("worker"));
    let path = format!("keys/{}", key.id());
    let get = |path: &str| scene.gateway.as_admin(&scene.admin, &format!("/admin/v1/{path}"));
    let seen = tag(&get(&path).send());
    assert_eq!(tag(&get(&path).send()), seen, "the same state has the same tag");
    let changed =
        scene.sent_with(&format!("If-Match: {seen}"), "PATCH", &path, &json!({ "name": "first" }));
    assert_eq!(changed.status, 200, "{}", changed.text());
    let now = tag(&changed);
    assert_ne!(now, seen);
    assert_eq!(tag(&get(&path).send()), now, "a change names the state that it made");

    let header = format!("If-Match: {seen}");
    for (method, call) in
        [("PATCH", ""), ("POST", "/rotate"), ("POST", "/disable"), ("POST", "/revoke")]
    {
        let late = scene.sent_with(&header, method, &format!("{path}{call}"), &json!({}));
        late.is_error(412, "precondition_failed");
    }
    assert_eq!(scene.seen(&path)["name"], "first");
    for matching in ["*".to_owned(), format!("\"other\", {now}")] {
        let made = scene.sent_with(&format!("If-Match: {matching}"), "PATCH", &path, &json!({}));
        assert_eq!(made.status, 200, "{matching}: {}", made.text());
    }
    let weak = scene.sent_with(&format!("If-Match: W/{now}"), "PATCH", &path, &json!({}));
    weak.is_error(412, "precondition_failed");

    let unchanged = get(&path).header(&format!("If-None-Match: {now}")).send();
    assert_eq!((unchanged.status, unchanged.text().as_str()), (304, ""));
    assert_eq!(tag(&unchanged), now);
    assert_eq!(get(&path).header("If-None-Match: \"other\"").send().status, 200);
}

#[test]
fn owners_and_credits_have_states_as_well() {
    let scene = Scene::new();
    scene.done("POST", "owners/default/credits", &json!({ "amount": "5" }));
    for (path, method, change) in [
        ("owners/default", "POST", "owners/default/disable"),
        ("owners/default/credits", "PATCH", "owners/default/credits"),
    ] {
        let seen = tag(&scene.gateway.as_admin(&scene.admin, &format!("/admin/v1/{path}")).send());
        let body = json!({ "low_threshold": "1" });
        let header = format!("If-Match: {seen}");
        assert_eq!(scene.sent_with(&header, method, change, &body).status, 200);
        let late = scene.sent_with(&header, method, change, &body);
        late.is_error(412, "precondition_failed");
    }
}

#[test]
fn every_change_says_which_token_made_it_from_where() {
    let scene = Scene::new();
    let actor = format!("token:{}", scene.admin_id());
    let owner = scene.done("POST", "owners", &json!({ "name": "acme" }));
    let owner = owner["id"].as_str().unwrap();
    let key = scene.key(&reader("worker"));
    let path = format!("keys/{}", key.id());
    scene.done("PATCH", &path, &json!({ "name": "renamed" }));
    scene.done("POST", &format!("{path}/disable?wait=false"), &json!({}));
    scene.done("POST", &format!("{path}/enable"), &json!({}));
    scene.minted(&format!("{path}/rotate"), &json!({}));
    scene.done("POST", &format!("{path}/revoke?wait=false"), &json!({ "reason": "done" }));
    scene.done("POST", &format!("owners/{owner}/credits"), &json!({ "amount": "5" }));
    scene.done("PATCH", &format!("owners/{owner}/credits"), &json!({ "low_threshold": 1 }));
    scene.done("POST", &format!("owners/{owner}/disable?wait=false"), &json!({}));
    scene.done("POST", &format!("owners/{owner}/enable"), &json!({}));
    let token = scene.done("POST", "tokens", &json!({ "name": "eyes", "role": "viewer" }));
    crate::support::leaks::note(token["token"].as_str().unwrap());
    scene.done("POST", &format!("tokens/{}/revoke", token["id"].as_str().unwrap()), &json!({}));

    let rows = scene.audit(&format!("actor={actor}"));
    let actions: Vec<&str> = rows.iter().map(|row| row.0.as_str()).rev().collect();
    assert_eq!(
        actions,
        [
            "owner.create",
            "key.create",
            "key.update",
            "key.disable",
            "key.enable",
            "key.rotate",
            "key.revoke",
            "credits.add",
            "credits.policy",
            "owner.disable",
            "owner.enable",
            "admin_token.create",
            "admin_token.revoke",
        ]
    );
    assert!(rows.iter().all(|row| row.1 == actor && row.2 == "127.0.0.1"), "{rows:?}");
    let revoked = scene.seen("audit?action=key.revoke");
    assert_eq!(revoked["data"][0]["reason"], "done");
    let of_key = scene.audit(&format!("target={}&since=1h", key.id()));
    assert_eq!(of_key.len(), 6);
    assert!(scene.audit("since=2100-01-01T00:00:00Z").is_empty());
}
