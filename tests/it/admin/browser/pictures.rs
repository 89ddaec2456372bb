//! Pictures of every page, for people: `tests/screenshots` makes them.

use std::fs;
use std::path::{Path, PathBuf};

use super::filled::Filled;
use crate::support::Browser;

/// Where they go.
const FOLDER: &str = "KEYGATE_SCREENSHOTS";
/// Widths of a desk and of a telephone, in pixels.
const WIDTHS: [u32; 2] = [1280, 390];
/// Longer pages are cut off.
const HEIGHT: f64 = 4_000.0;

#[test]
#[ignore = "makes pictures for people: run by tests/screenshots"]
fn every_page_has_its_picture() {
    let folder = folder();
    let filled = Filled::start();
    let Some(browser) = filled.gateway.browser() else { return };
    let takes = |name: &str| take(&browser, &folder, name);
    browser.go("/login");
    takes("login");
    browser.sign_in(&filled.admin);
    for (name, path) in filled.pages() {
        browser.go(&path);
        takes(name);
    }
    explain(&browser, &filled);
    takes("routes-explained");
    browser.go("/owners?q=nobody");
    takes("owners-none");
    for_docs(&browser, &filled, &folder.join("docs"));
}

fn folder() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "this is no part of the configuration")]
    let folder = std::env::var_os(FOLDER).map(PathBuf::from).expect("a folder to write to");
    fs::create_dir_all(folder.join("docs")).expect("the folder can be made");
    folder
}

/// Those that `docs/admin.md` shows: parts of pages, small.
fn for_docs(browser: &Browser, filled: &Filled, folder: &Path) {
    let shown = |name: &str, height: f64| {
        save(&browser.picture(height, 0.62), folder, &format!("{name}.png"));
    };
    browser.look(1_240, false);
    for (name, path, height) in [
        ("overview", "/".to_owned(), 620.0),
        ("key", format!("/keys/{}", filled.key.id()), 900.0),
        ("audit", "/audit".to_owned(), 700.0),
    ] {
        browser.go(&path);
        shown(name, height);
    }
    explain(browser, filled);
    shown("explained", 660.0);
    browser.look(390, true);
    browser.go("/refusals?live=off");
    shown("refusals", 900.0);
}

/// Asks the box on the page of routes about a request.
fn explain(browser: &Browser, filled: &Filled) {
    browser.go("/routes");
    browser.fill("#path", "/v1/invoices/2026-11");
    browser.fill("#key", filled.key.id());
    browser.press("Explain");
    browser.wait_for("#explained .steps");
}

/// The page as it is now, in each width and colour.
fn take(browser: &Browser, folder: &Path, name: &str) {
    for width in WIDTHS {
        for (dark, colour) in [(false, "light"), (true, "dark")] {
            browser.look(width, dark);
            save(&browser.picture(HEIGHT, 1.0), folder, &format!("{name}-{width}-{colour}.png"));
        }
    }
}

fn save(picture: &str, folder: &Path, file: &str) {
    fs::write(folder.join(file), decoded(picture)).expect("a picture can be written");
}

/// Base64 (RFC 4648 section 4), which chromedriver gives pictures in.
fn decoded(text: &str) -> Vec<u8> {
    let value = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits: Vec<u32> = text.bytes().filter_map(value).map(u32::from).collect();
    let bytes = digits.chunks(4).flat_map(|four| {
        let bits = four.iter().fold(0, |bits, digit| bits << 6 | digit) << (6 * (4 - four.len()));
        bits.to_be_bytes().into_iter().skip(1).take(four.len() - 1)
    });
    bytes.collect()
}
