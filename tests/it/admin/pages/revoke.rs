//! Ending a key, or one secret of it, by the dashboard.

use super::{admin, gateway};
use crate::support::{Origin, until};

#[test]
fn a_key_ends_with_all_under_it_once_its_name_is_typed_and_the_receipt_is_shown() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let key = gateway.key("--name main --scope agents:read");
    let child = gateway.key(&format!("--name below --parent {}", key.id()));
    let admin = admin(&gateway);
    let path = format!("/keys/{}/revoke", key.id());
    let form = admin.page(&path);
    assert!(form.contains("1 key under it") && form.contains("below"), "{form}");
    for name in ["", "Main", "below"] {
        let refused = admin.post(&path, &[("name", name), ("reason", "typed before")]);
        assert_eq!(refused.status, 422, "{name}");
        assert!(refused.text().contains("not its name"), "{}", refused.text());
        assert!(refused.text().contains("typed before"), "the reason stays");
    }
    assert_eq!(gateway.curl("/agents").bearer(&key).send().status, 200);
    let answer = admin.post(&path, &[("name", "main"), ("reason", "it leaked")]);
    assert_eq!(answer.status, 200);
    let page = answer.text();
    assert!(page.contains("The key main and 1 key under it are revoked"), "{page}");
    assert!(page.contains("The one running instance has confirmed it, after "), "{page}");
    for key in [&key, &child] {
        assert_eq!(gateway.curl("/agents").bearer(key).send().status, 401, "it was confirmed");
    }
    let page = admin.page(&format!("/keys/{}", key.id()));
    assert!(page.contains("it leaked") && page.contains("for good"), "{page}");
    assert!(!page.contains("/rotate"), "nothing can be done to it any more");
    assert_eq!(admin.get(&path).status, 409);
}

#[test]
fn one_secret_ends_and_the_other_goes_on() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let old = gateway.key("--name main --scope agents:read");
    let new = gateway.mint(&format!("key rotate {} --grace 1h", old.id()));
    let admin = admin(&gateway);
    let secret = old.json["secrets"][0]["id"].as_str().unwrap().to_owned();
    let path = format!("/keys/{}/secrets/{secret}/revoke", old.id());
    assert!(admin.page(&path).contains("other secret goes on working"));
    let answer = admin.post(&path, &[]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("has confirmed it"), "{}", answer.text());
    until("it is refused", || gateway.curl("/agents").bearer(&old).send().status == 401);
    assert_eq!(gateway.curl("/agents").bearer(&new).send().status, 200);
    assert_eq!(admin.get(&path).status, 404, "it is over");
    let last = gateway.run(&format!("key show {}", old.id()))["secrets"][1]["id"].clone();
    let path = format!("/keys/{}/secrets/{}/revoke", old.id(), last.as_str().unwrap());
    assert!(admin.page(&path).contains("only live secret"));
}
