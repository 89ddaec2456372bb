//! Several keys at once: a look that changes nothing, then what it said.

use super::{admin, gateway};
use crate::support::{Origin, until};

#[test]
fn the_look_says_what_would_happen_and_changes_nothing() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let one = gateway.key("--name one --scope agents:read");
    gateway.key(&format!("--name below --parent {}", one.id()));
    let gone = gateway.key("--name gone");
    gateway.run(&format!("key revoke {}", gone.id()));
    let admin = admin(&gateway);
    let query = format!("id={}&id={}&id={}", one.id(), gone.id(), one.id());
    let before = gateway.run("key list");
    let look = admin.page(&format!("/keys/bulk?do=revoke&{query}"));
    assert!(look.contains("Nothing has been done yet"), "{look}");
    assert!(look.contains("1 key under it end") && look.contains("ends for good"), "{look}");
    assert!(look.contains("nothing: it is revoked already"), "{look}");
    assert!(look.contains("Revoke 1 key<"), "what the button says: {look}");
    let look = admin.page(&format!("/keys/bulk?do=disable&{query}"));
    assert!(look.contains("stops until it is enabled"), "{look}");
    assert_eq!(gateway.run("key list"), before);
    assert_eq!(gateway.curl("/agents").bearer(&one).send().status, 200);
    for (query, why) in [
        ("do=revoke".to_owned(), "No key is selected"),
        (format!("do=sell&id={}", one.id()), "Choose what is to be done"),
        ("do=revoke&id=key_nobody".to_owned(), "None of the selected keys"),
    ] {
        let answer = admin.get(&format!("/keys/bulk?{query}"));
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(why), "{}", answer.text());
    }
}

#[test]
fn what_is_done_is_told_with_the_receipt() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let one = gateway.key("--name one --scope agents:read");
    let two = gateway.key("--name two --scope agents:read");
    let below = gateway.key(&format!("--name below --parent {}", two.id()));
    let other = gateway.key("--name other --scope agents:read");
    let admin = admin(&gateway);
    let chosen = [("id", one.id()), ("id", two.id())];
    let deed = |more: &[(&'static str, &'static str)]| -> Vec<(&str, &str)> {
        chosen.iter().copied().chain(more.iter().copied()).collect()
    };
    let disabled = admin.post("/keys/bulk", &deed(&[("do", "disable")]));
    assert_eq!(disabled.status, 200);
    assert!(disabled.text().contains("2 keys disabled"), "{}", disabled.text());
    assert!(disabled.text().contains("has confirmed it"), "{}", disabled.text());
    for key in [&one, &two, &below] {
        until("it is refused", || gateway.curl("/agents").bearer(key).send().status == 401);
    }
    let unsure = admin.post("/keys/bulk", &deed(&[("do", "revoke")]));
    assert_eq!(unsure.status, 422);
    assert!(unsure.text().contains("cannot be brought back"), "{}", unsure.text());
    assert_eq!(gateway.run(&format!("key show {}", one.id()))["status"], "disabled");
    let sure = deed(&[("do", "revoke"), ("sure", "yes"), ("reason", "spring cleaning")]);
    let revoked = admin.post("/keys/bulk", &sure);
    assert!(revoked.text().contains("3 keys revoked"), "{}", revoked.text());
    for key in [&one, &two, &below] {
        assert_eq!(gateway.run(&format!("key show {}", key.id()))["status"], "revoked");
    }
    assert_eq!(gateway.curl("/agents").bearer(&other).send().status, 200);
}
