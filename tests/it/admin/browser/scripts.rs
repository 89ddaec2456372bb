//! What others have named is text on every page, whatever it looks like.

use super::filled::Filled;
use crate::support::Browser;

/// Names as who tries it would choose them.
const SCRIPT: &str = "<script>alert('owner')</script>";
const IMAGE: &str = "\"><img src=x onerror=alert('key')>";
const QUOTE: &str = "' onfocus=alert(1) autofocus x='{{7*7}}";
/// Elements that no page has by itself.
const INJECTED: &str = "img[src='x'], script:not([src]), [onerror], [onfocus], [onload]";

#[test]
fn names_reasons_and_notes_are_text_on_every_page() {
    let filled = Filled::start();
    let gateway = &filled.gateway;
    let run = |args: &[&str]| gateway.installation().run(&[&["--json"], args].concat());
    run(&["owner", "create", SCRIPT]);
    run(&["credits", "add", "--owner", SCRIPT, "5.00", "--reason", IMAGE]);
    let note = format!("note={IMAGE}");
    let mut words = vec!["key", "create", "--name", IMAGE, "--owner", SCRIPT, "--meta", &note];
    words.extend(["--scope", "agents:read", "--budget", "1.00"]);
    let key = gateway.installation().mint_words(&words);
    let ended = gateway.installation().mint_words(&["key", "create", "--name", QUOTE]);
    run(&["key", "revoke", ended.id(), "--reason", SCRIPT]);
    run(&["admin-token", "create", "--name", IMAGE, "--role", "viewer"]);
    let refused = gateway.curl("/v1/<script>alert(1)</script>?a=<img/src=x>").bearer(&key).send();
    let refused = refused.header("x-request-id").expect("every answer has one").to_owned();
    let owner =
        gateway.run(&format!("key show {}", key.id()))["owner"].as_str().unwrap().to_owned();

    let Some(browser) = filled.gateway.browser_of(&filled.admin) else { return };
    let hostile =
        "%3Cscript%3Ealert(1)%3C%2Fscript%3E%22%3E%3Cimg%20src%3Dx%20onerror%3Dalert(2)%3E";
    let more = [
        format!("/keys/{}", key.id()),
        format!("/keys/{}", ended.id()),
        format!("/owners/{owner}"),
        format!("/owners/{owner}?added={hostile}"),
        format!("/refusals/{refused}"),
        format!("/keys?q={hostile}&owner={hostile}&status={hostile}&cursor={hostile}"),
        format!("/keys/new?owner={hostile}"),
        format!("/keys/{hostile}"),
        format!("/owners?q={hostile}"),
        format!("/owners/{hostile}"),
        format!("/refusals?reason={hostile}&key={hostile}&live={hostile}"),
        format!("/refusals?request_id={hostile}"),
        format!("/refusals/{hostile}"),
        format!("/webhooks?status={hostile}&cursor={hostile}&replayed={hostile}"),
        format!("/audit?actor={hostile}&action={hostile}&target={hostile}&since={hostile}"),
        format!("/audit?target={owner}"),
        format!("/settings?done={hostile}"),
    ];
    for path in filled.pages().into_iter().map(|(_, path)| path).chain(more) {
        browser.go(&path);
        harmless(&browser, &path);
    }
    browser.go(&format!("/keys/{}", key.id()));
    assert!(browser.page().contains(IMAGE), "the name is shown as it is: {}", browser.page());
    browser.go(&format!("/owners/{owner}"));
    assert_eq!(browser.text("h1"), SCRIPT);
}

/// That nothing on the page is more than text.
#[track_caller]
fn harmless(browser: &Browser, path: &str) {
    assert!(!browser.has_alert(), "a script ran on {path}");
    assert_eq!(browser.count(INJECTED), 0, "{path}");
    let kept_off = |line: &String| line.contains("Content Security Policy");
    let kept_off: Vec<String> = browser.complaints().into_iter().filter(kept_off).collect();
    assert!(kept_off.is_empty(), "{path}: {kept_off:?}");
}
