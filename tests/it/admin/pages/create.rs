//! Making a key: its secret is shown once, and once is what the form does.

use super::{admin, gateway, hidden, keys, shown_secret};
use crate::support::Origin;

#[test]
fn a_key_is_made_and_its_secret_works_at_once() {
    let api = Origin::start();
    let gateway = gateway(&api);
    gateway.run("owner create acme");
    let admin = admin(&gateway);
    let once = hidden(&admin.page("/keys/new"), "once");
    let answer = admin.post(
        "/keys/new",
        &[
            ("once", &once),
            ("name", "Nightly batch"),
            ("owner", "acme"),
            ("environment", "live"),
            ("permission", "writer"),
            ("scope", "billing:read"),
            ("expires", "30d"),
            ("limits", "60/min, 1000/hour"),
            ("budget", "5"),
            ("allowed_ips", "127.0.0.0/8\n10.0.0.0/8"),
            ("metadata", "team=core"),
            ("rotate_every", "90"),
        ],
    );
    let key = shown_secret(&answer);
    assert!(answer.text().contains("curl -i"), "there is a call to try");
    assert!(answer.text().contains("I have stored it"));
    assert_eq!(gateway.curl("/agents").bearer(&key).send().status, 200);
    let made = gateway.run(&format!("key show {}", key.id()));
    assert_eq!(made["name"], "Nightly batch");
    assert_eq!(made["scopes"], serde_json::json!(["billing:read", "agents:write"]));
    assert_eq!(made["limits"], serde_json::json!(["60/min", "1000/hour"]));
    assert_eq!(made["monthly_budget"], "5.00");
    assert_eq!(made["allowed_ips"].as_array().map(Vec::len), Some(2));
    assert_eq!(made["metadata"], serde_json::json!({"team": "core"}));
    assert_eq!(made["rotation"]["interval_days"], 90);
    assert!(made["expires_at"].is_string());
    let page = admin.page(&format!("/keys/{}", key.id()));
    assert!(!page.contains(key.secret()), "it is shown once");
}

#[test]
fn a_form_that_is_sent_again_makes_no_second_key() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let admin = admin(&gateway);
    let once = hidden(&admin.page("/keys/new"), "once");
    let fields = [("once", once.as_str()), ("name", "only"), ("scope", "agents:read")];
    let key = shown_secret(&admin.post("/keys/new", &fields));
    for _ in 0..2 {
        let again = admin.post("/keys/new", &fields);
        assert_eq!(again.status, 409, "{}", again.text());
        assert!(again.text().contains(&format!("/keys/{}", key.id())), "{}", again.text());
        assert!(!again.text().contains(key.secret()));
    }
    assert_eq!(keys(&gateway), 1);
    let without = admin.post("/keys/new", &[("name", "other")]);
    assert_eq!(without.status, 422, "a form without its name is no form of ours");
    assert_eq!(keys(&gateway), 1);
}

#[test]
fn what_is_wrong_stands_beside_its_field_and_what_was_typed_stays() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let admin = admin(&gateway);
    let once = hidden(&admin.page("/keys/new"), "once");
    let wrong = admin.post(
        "/keys/new",
        &[
            ("once", &once),
            ("name", "half right"),
            ("scope", "agents:read"),
            ("limits", "60/fortnight"),
            ("budget", "lots"),
            ("allowed_ips", "everywhere"),
            ("expires", "date"),
            ("expires_on", "2020-01-01"),
            ("metadata", "no sign"),
        ],
    );
    assert_eq!(wrong.status, 422);
    let page = wrong.text();
    for field in ["limits", "budget", "allowed_ips", "expires", "metadata"] {
        assert!(page.contains(&format!("id=\"{field}-wrong\"")), "{field} in {page}");
    }
    for typed in ["half right", "60/fortnight", "lots", "everywhere", "2020-01-01", "no sign"] {
        assert!(page.contains(typed), "{typed} in {page}");
    }
    assert!(page.contains("value=\"agents:read\" checked"), "{page}");
    assert!(!page.contains("id=\"name-wrong\""), "what is right is not marked");
    for (field, fields) in [
        ("owner", [("owner", "nobody"), ("name", "k")]),
        ("parent", [("parent", "key_nobody"), ("name", "k")]),
        ("scope", [("other_scopes", "nothing:*"), ("name", "k")]),
        ("name", [("owner", "default"), ("name", " ")]),
    ] {
        let once = hidden(&page, "once");
        let fields: Vec<_> = fields.into_iter().chain([("once", once.as_str())]).collect();
        let wrong = admin.post("/keys/new", &fields);
        assert_eq!(wrong.status, 422, "{field}: {}", wrong.text());
        // What the catalogue does not know is told above the form.
        let beside =
            if field == "scope" { "unknown scope" } else { &format!("id=\"{field}-wrong\"") };
        assert!(wrong.text().contains(beside), "{field}: {}", wrong.text());
    }
    assert_eq!(keys(&gateway), 0);
    let once = hidden(&page, "once");
    let mended = [("once", once.as_str()), ("name", "half right"), ("scope", "agents:read")];
    shown_secret(&admin.post("/keys/new", &mended));
    assert_eq!(keys(&gateway), 1);
}

#[test]
fn a_key_under_another_takes_over_what_is_left_empty_and_never_has_more() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let parent = gateway.key("--name top --scope agents:read --expires 40d --budget 2.00");
    let admin = admin(&gateway);
    let form = admin.page(&format!("/keys/new?parent={}", parent.id()));
    let once = hidden(&form, "once");
    assert!(form.contains("When the key above it does"), "{form}");
    let under = [("once", once.as_str()), ("name", "agent"), ("parent", parent.id())];
    for (field, more) in
        [("budget", ("budget", "3.00")), ("expires", ("expires", "90d")), ("scope", ("scope", "*"))]
    {
        let fields: Vec<_> = under.into_iter().chain([more]).collect();
        let wider = admin.post("/keys/new", &fields);
        assert_eq!(wider.status, 422, "{}", wider.text());
        assert!(wider.text().contains(&format!("id=\"{field}-wrong\"")), "{}", wider.text());
    }
    let child = shown_secret(&admin.post("/keys/new", &under));
    let made = gateway.run(&format!("key show {}", child.id()));
    assert_eq!(made["parent_id"], parent.id());
    assert_eq!(made["scopes"], serde_json::json!(["agents:read"]));
    assert_eq!(made["expires_at"], gateway.run(&format!("key show {}", parent.id()))["expires_at"]);
}

#[test]
fn beside_the_form_stands_the_same_as_a_command_that_does_the_same() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let admin = admin(&gateway);
    let asked = "name=Bob%27s&scope=agents%3Aread&expires=30d&limits=5%2Fs&metadata=a%3Db";
    let page = admin.page(&format!("/keys/new?{asked}"));
    let (_, rest) = page.split_once("<pre id=\"same-command\">").unwrap();
    let command = rest.split("</pre>").next().unwrap().replace("&#39;", "'");
    assert!(command.starts_with("keygate key create"), "{command}");
    assert!(command.contains(r"--name 'Bob'\''s'") && command.contains("--limit 5/s"), "{command}");
    assert!(page.contains("/admin/v1/keys"), "and as a call");
    assert_eq!(keys(&gateway), 0, "looking makes nothing");
}
