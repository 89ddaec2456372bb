//! Rotating by the dashboard.

use super::{admin, gateway, hidden, shown_secret};
use crate::support::{Origin, until};

#[test]
fn both_secrets_work_within_the_grace_and_the_form_does_it_once() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let old = gateway.key("--name main --scope agents:read");
    let admin = admin(&gateway);
    let path = format!("/keys/{}/rotate", old.id());
    let once = hidden(&admin.page(&path), "once");
    let fields = [("once", once.as_str()), ("grace", "1h")];
    let answer = admin.post(&path, &fields);
    let new = shown_secret(&answer);
    assert!(answer.text().contains("The secret before works until"), "{}", answer.text());
    for key in [&old, &new] {
        assert_eq!(gateway.curl("/agents").bearer(key).send().status, 200);
    }
    let again = admin.post(&path, &fields);
    assert_eq!(again.status, 409, "{}", again.text());
    assert!(!again.text().contains(new.secret()));
    let secrets = gateway.run(&format!("key show {}", old.id()))["secrets"].clone();
    assert_eq!(secrets.as_array().map(Vec::len), Some(2));
}

#[test]
fn a_third_live_secret_is_refused_until_the_older_one_is_given_up() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let first = gateway.key("--name main --scope agents:read");
    let second = gateway.mint(&format!("key rotate {} --grace 1h", first.id()));
    let admin = admin(&gateway);
    let path = format!("/keys/{}/rotate", first.id());
    let form = admin.page(&path);
    let once = hidden(&form, "once");
    assert!(form.contains("End the older secret now"), "{form}");
    let refused = admin.post(&path, &[("once", &once), ("grace", "7d")]);
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("two live secrets already"), "{}", refused.text());
    let fields = [("once", once.as_str()), ("grace", "0"), ("replace", "yes")];
    let third = shown_secret(&admin.post(&path, &fields));
    for (key, status) in [(&first, 401), (&second, 401), (&third, 200)] {
        until("each secret is what it is", || {
            gateway.curl("/agents").bearer(key).send().status == status
        });
    }
    let wrong = admin.post(&path, &[("once", &hidden(&form, "once")), ("grace", "soon")]);
    assert_eq!(wrong.status, 422);
    assert!(wrong.text().contains("a duration is"), "{}", wrong.text());
}
