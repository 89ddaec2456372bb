//! What axe-core finds wrong with every page, light and dark, on a desk and on a telephone.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::filled::Filled;
use crate::support::{Browser, skipped};

/// What fails a page (WCAG 2.2 AA and axe's own best practices).
const GRAVE: [&str; 2] = ["serious", "critical"];
/// Asks axe about the page, and hands on what it found.
const ASK: &str = "const done = arguments[arguments.length - 1]; \
     axe.run(document, { resultTypes: ['violations'] }).then( \
       (found) => done(found.violations.map(({ id, impact, help, nodes }) => \
         ({ id, impact, help, at: nodes.map((node) => node.html) }))), \
       (error) => done([{ id: 'axe', impact: 'critical', help: String(error), at: [] }]))";

#[test]
fn no_page_has_a_serious_finding() {
    let Some(axe) = axe() else { return };
    let axe = json!(fs::read_to_string(axe).expect("axe can be read"));
    let filled = Filled::start();
    let Some(browser) = filled.gateway.browser() else { return };
    let mut wrong = Vec::new();
    let mut look = |name: &str| {
        for (width, dark) in [(1280, false), (1280, true), (390, false), (390, true)] {
            browser.look(width, dark);
            wrong.extend(findings(&browser, &axe).iter().map(|it| format!("{name} {width}: {it}")));
            let is = browser.run("return document.documentElement.scrollWidth", &[]);
            if is.as_u64() > Some(u64::from(width)) {
                wrong.push(format!("{name} {width}: it is {is} pixels wide"));
            }
        }
    };
    browser.go("/login");
    look("login");
    browser.sign_in(&filled.admin);
    for (name, path) in filled.pages() {
        browser.go(&path);
        look(name);
    }
    browser.go("/routes");
    browser.fill("#path", "/v1/invoices/2026-11");
    browser.press("Explain");
    browser.wait_for("#explained .steps");
    look("explained");
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What axe finds that is grave.
fn findings(browser: &Browser, axe: &Value) -> Vec<String> {
    // `execute` takes a script as a function's body, in which a declaration would stay local.
    browser.run("window.axe || (0, eval)(arguments[0])", std::slice::from_ref(axe));
    let found = browser.run_async(ASK, &[]);
    let found = found.as_array().expect("axe answers with a list");
    let grave = |it: &&Value| GRAVE.iter().any(|impact| it["impact"] == *impact);
    let words = |it: &Value| format!("{} ({}): {}", it["id"], it["help"], it["at"]);
    found.iter().filter(grave).map(words).collect()
}

/// The script, out of a package that `./test` installs.
fn axe() -> Option<PathBuf> {
    let lib = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients/lib");
    let pythons = fs::read_dir(lib).into_iter().flatten().flatten();
    let file = "site-packages/axe_playwright_python/axe.min.js";
    let found = pythons.map(|python| python.path().join(file)).find(|file| file.exists());
    if found.is_none() {
        skipped("axe of tests/it/admin/browser/requirements.txt", "python3-venv");
    }
    found
}
