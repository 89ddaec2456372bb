//! Pictures of every page, for people: `tests/screenshots` makes them.

use std::fs;
use std::path::PathBuf;

use super::filled::Filled;
use crate::support::Browser;

/// Where they go; nothing is made where nothing is said.
const FOLDER: &str = "KEYGATE_SCREENSHOTS";
/// Widths of a desk and of a telephone, in pixels.
const WIDTHS: [u32; 2] = [1280, 390];

#[test]
#[ignore = "makes pictures for people: run by tests/screenshots"]
fn every_page_has_its_picture() {
    #[expect(clippy::disallowed_methods, reason = "this is no part of the configuration")]
    let folder = std::env::var_os(FOLDER).map(PathBuf::from).expect("a folder to write to");
    fs::create_dir_all(&folder).expect("the folder can be made");
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
fn take(browser: &Browser, folder: &std::path::Path, name: &str) {
    for width in WIDTHS {
        for (dark, colour) in [(false, "light"), (true, "dark")] {
            browser.look(width, dark);
            let picture = decoded(&browser.picture());
            let file = folder.join(format!("{name}-{width}-{colour}.png"));
            fs::write(file, picture).expect("a picture can be written");
        }
    }
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
