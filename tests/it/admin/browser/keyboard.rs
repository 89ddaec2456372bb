//! The dashboard without a mouse.

use crate::support::{TestGateway, TestStore};

const ENTER: &str = "\u{E007}";

#[test]
fn everything_is_reached_by_the_tabulator() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let token = gateway.admin_token("--name ops");
    let Some(browser) = gateway.browser() else { return };
    browser.go("/login");
    browser.wait_for("#token:focus");
    browser.type_keys(token.text());
    browser.type_keys(ENTER);
    browser.wait_for("nav.menu");
    browser.tab_to("a.skip");
    browser.tab_to("nav.menu a[href='/owners']");
    browser.type_keys(ENTER);
    browser.until("the page of owners", || browser.path() == "/owners");
    browser.tab_to("#name");
    browser.type_keys("Acme");
    browser.type_keys(ENTER);
    browser.until("the page of the owner", || browser.path().starts_with("/owners/own_"));
    assert_eq!(browser.text("h1"), "Acme");
    browser.tab_to("#amount");
    browser.type_keys("12.5");
    browser.tab_to("#credits button");
    browser.type_keys(ENTER);
    browser.wait_for_text(".notice", "Added 12.50 credits");
    browser.tab_to("#switch summary");
    browser.type_keys(ENTER);
    browser.tab_to("#switch button");
    browser.type_keys(ENTER);
    browser.wait_for_text(".notice", "Disabled: all its keys are refused");
    assert_eq!(gateway.run("owner show Acme")["status"], "disabled");
    browser.tab_to(".who button");
    browser.type_keys(ENTER);
    browser.wait_for("#token:focus");
}
