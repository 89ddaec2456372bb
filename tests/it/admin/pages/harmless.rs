//! Whatever people call things, a page shows it as text.

use super::{CONFIG, admin, hidden, shown_secret};
use crate::support::{Origin, TestGateway, TestStore, until};

const NAME: &str = "<script>alert(1)</script>";
const NOTE: &str = "\"><img src=x onerror=alert(2)>";

#[test]
fn names_owners_and_notes_are_text_on_every_page_about_keys() {
    let api = Origin::start();
    let gateway =
        TestGateway::with(TestStore::sqlite()).config(CONFIG).upstream("api", &api).start();
    gateway.installation().run(&["owner", "create", NAME]);
    let admin = admin(&gateway);
    let send = |fields: &[(&str, &str)]| {
        let once = hidden(&admin.page("/keys/new"), "once");
        let fields: Vec<_> = fields.iter().copied().chain([("once", once.as_str())]).collect();
        admin.post("/keys/new", &fields)
    };
    let note = format!("{NOTE}={NOTE}");
    let common = [
        ("name", NAME),
        ("owner", NAME),
        ("scope", "agents:read"),
        ("metadata", &note),
        ("budget", "0.50"),
        ("expires", "date"),
    ];
    let soon = a_day_soon();
    let fields: Vec<_> = common.into_iter().chain([("expires_on", soon.as_str())]).collect();
    let made = send(&fields);
    let key = shown_secret(&made);
    let under = [("name", NAME), ("parent", key.id())];
    shown_secret(&send(&under));
    assert_eq!(gateway.curl("/agents").bearer(&key).send().status, 200);
    let path = format!("/keys/{}", key.id());
    until("its call is told of", || admin.page("/").contains("100 %"));
    let secret = gateway.run(&format!("key show {}", key.id()))["secrets"][0]["id"].clone();
    let secret = format!("{path}/secrets/{}/revoke", secret.as_str().unwrap());
    let script = "%3Cscript%3Ealert(1)%3C/script%3E";
    let wrong = send(&[("name", NAME), ("owner", NOTE), ("limits", NAME), ("metadata", NAME)]);
    assert_eq!(wrong.status, 422);
    let mut pages = vec![made.text(), wrong.text()];
    for path in [
        "/".to_owned(),
        "/keys".to_owned(),
        format!("/keys?q={script}&owner={script}&parent={script}&status={script}"),
        format!("/keys?owner={script}2"),
        format!("/keys/new?name={script}&metadata={script}&other_scopes={script}"),
        format!("/keys/bulk?do=revoke&id={}", key.id()),
        path.clone(),
        format!("{path}/edit"),
        format!("{path}/rotate"),
        format!("{path}/revoke"),
        secret,
    ] {
        pages.push(admin.page(&path));
    }
    let reason = ("reason", NAME);
    pages.push(admin.post(&format!("{path}/revoke"), &[("name", "x"), reason]).text());
    pages.push(admin.post(&format!("{path}/revoke"), &[("name", NAME), reason]).text());
    pages.push(admin.page(&path));
    for page in &pages {
        assert!(page.starts_with("<!doctype html>"), "{page}");
        assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{page}");
    }
    let told = pages.iter().filter(|page| page.contains("&#60;script&#62;alert(1)")).count();
    assert_eq!(told, pages.len(), "each of them names it");
}

/// A day within a week.
fn a_day_soon() -> String {
    let day = keygate::domain::Clock::system().now() + jiff::SignedDuration::from_hours(3 * 24);
    day.strftime("%Y-%m-%d").to_string()
}
