//! Coming in and going out.

use crate::support::{TestGateway, TestStore};

#[test]
fn a_token_signs_in_until_its_session_is_ended() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let token = gateway.admin_token("--name ops");
    let Some(browser) = gateway.browser() else { return };
    browser.go("/owners");
    assert!(browser.path().starts_with("/login?"), "{}", browser.path());
    browser.fill("#token", "kga_no");
    browser.press("Sign in");
    browser.wait_for_text("#wrong", "no admin token");
    browser.sign_in(&token);
    assert!(browser.text(".bar").contains("ops (admin)"), "{}", browser.text(".bar"));
    browser.press("Owners");
    browser.wait_for_text("h1", "Owners");
    assert!(browser.text("#list").contains("default"), "{}", browser.text("#list"));
    browser.press("Sign out");
    browser.wait_for("#token");
    browser.go("/owners");
    assert!(browser.path().starts_with("/login?"), "{}", browser.path());
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|line| line.contains("401 (Unauthorized)")), "{complaints:?}");
}
