//! A viewer looks at everything, and changes nothing.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::filled::Filled;
use crate::support::Browser;

/// Where the forms of the page are sent by POST, wherever their buttons say so.
const FORMS: &str = "return [...document.querySelectorAll('form')].flatMap((form) => \
     form.method == 'post' ? [form, ...form.querySelectorAll('[formaction]')] : []).map((it) => \
     new URL(it.getAttribute('formaction') || it.getAttribute('action') || '', location).pathname)";
/// What could be pressed and stands in no form.
const LOOSE: &str = "return [...document.querySelectorAll('button, input, select, textarea')] \
     .filter((it) => !it.form && !it.dataset.copy && it.type != 'button').length";
/// What else sends something other than GET.
const BY_SCRIPT: &str = "return document.querySelectorAll(\
     ':not(form)[hx-post], [hx-put], [hx-patch], [hx-delete]').length";
/// Sends a form with nothing in it, as the page could, and tells the status of what came back.
const SEND: &str = "const done = arguments[arguments.length - 1]; \
     fetch(arguments[0], { method: 'POST', body: new URLSearchParams(), redirect: 'manual' }) \
       .then((answer) => done(answer.status), (error) => done(String(error)))";
/// Forms that change nothing but the caller's own session.
const HARMLESS: [&str; 2] = ["/logout", "/routes"];

#[test]
fn a_viewer_is_shown_no_way_to_change_anything_and_has_none() {
    let filled = Filled::start();
    let Some(browser) = filled.gateway.browser_of(&filled.admin) else { return };
    let changing = forms(&browser, &filled);
    assert!(changing.len() > 10, "an admin can change something: {changing:?}");
    browser.press("Sign out");
    browser.wait_for("#token");
    browser.sign_in(&filled.viewer);
    assert_eq!(forms(&browser, &filled), BTreeSet::new());
    for (_, path) in filled.pages() {
        browser.go(&path);
        assert_eq!(browser.run(LOOSE, &[]), 0, "{path}");
        assert_eq!(browser.run(BY_SCRIPT, &[]), 0, "{path}");
    }
    let before = changes(&filled);
    for form in changing {
        assert_eq!(browser.run_async(SEND, &[json!(form)]), 403, "{form}");
    }
    assert_eq!(changes(&filled), before, "a viewer's forms have changed something");
}

/// Where forms that change something are sent from all pages.
fn forms(browser: &Browser, filled: &Filled) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    for (_, path) in filled.pages() {
        browser.go(&path);
        let found = browser.run(FORMS, &[]);
        let found = found.as_array().expect("a list").iter().filter_map(Value::as_str);
        forms.extend(found.filter(|form| !HARMLESS.contains(form)).map(str::to_owned));
    }
    forms
}

/// The newest row of the audit log.
fn changes(filled: &Filled) -> Value {
    filled.gateway.run("audit --limit 1")["data"][0]["id"].clone()
}
