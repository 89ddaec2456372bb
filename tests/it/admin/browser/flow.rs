//! From an empty store to a key that is refused, as an operator goes it.

use serde_json::json;

use crate::support::{Browser, MintedKey, Origin, TestGateway, TestStore, leaks};

const CONFIG: &str = r#"
[scopes]
"notes:read" = "Read notes"
"notes:write" = "Write notes"
[[routes]]
path = "/v1/notes"
methods = ["GET"]
scopes = ["notes:read"]
upstream = "api"
[[routes]]
path = "/v1/notes"
methods = ["POST"]
scopes = ["notes:write"]
upstream = "api"
"#;
const READ_CLIPBOARD: &str = "const done = arguments[arguments.length - 1]; \
     navigator.clipboard.readText().then(done, (error) => done(String(error)))";

#[test]
fn a_key_is_made_used_rotated_and_revoked_and_its_refusal_explained() {
    let api = Origin::start();
    let gateway =
        TestGateway::with(TestStore::sqlite()).config(CONFIG).upstream("api", &api).start();
    let Some(browser) = gateway.browser() else { return };
    set_up(&gateway, &browser);

    let key = create(&browser);
    let status = |key: &MintedKey| gateway.curl("/v1/notes").bearer(key).send().status;
    assert_eq!(status(&key), 200);
    browser.until("the call to appear", || {
        browser.go(&format!("/keys/{}", key.id()));
        browser.page().contains("1\nrequests") || browser.page().contains("1 requests")
    });
    let refused = gateway.curl("/v1/notes").method("POST").bearer(&key).send();
    assert_eq!(refused.status, 403);
    explained(&browser, refused.header("x-request-id"), "missing_scope", "scope");

    let rotated = rotate(&browser, &key);
    assert_ne!(rotated.secret(), key.secret());
    assert_eq!((status(&key), status(&rotated)), (200, 200));

    revoke(&browser, &key);
    assert_eq!((status(&key), status(&rotated)), (401, 401));
    let refused = gateway.curl("/v1/notes").bearer(&rotated).send();
    explained(&browser, refused.header("x-request-id"), "revoked_key", "verify");
    browser.go("/audit");
    let told = browser.text("#list");
    for action in ["key.revoke", "key.rotate", "key.create", "token.create"] {
        assert!(told.contains(action), "{action} in {told}");
    }
    // The name that was typed wrong is answered with 422, which the browser writes down.
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|line| line.contains("status of 422")), "{complaints:?}");
}

/// Makes the first token by the address that the gateway prints once, and signs in with it.
fn set_up(gateway: &TestGateway, browser: &Browser) {
    let address = gateway.process().err.wait_for("the address of the set-up", |log| {
        log.split_whitespace().find(|word| word.contains("/setup#")).map(str::to_owned)
    });
    browser.go_to(&address);
    browser.fill("#name", "Ada");
    browser.press("Make the token");
    let token = browser.text("pre#token");
    leaks::note(&token);
    browser.press("I have stored it");
    browser.wait_for("nav.menu a[href='/'][aria-current='page']");
    browser.press("Sign out");
    browser.wait_for("#token");
    browser.fill("#token", &token);
    browser.press("Sign in");
    browser.wait_for("nav.menu");
}

/// Makes a key, and takes its secret out of the clipboard.
fn create(browser: &Browser) -> MintedKey {
    browser.press("Keys");
    browser.wait_for("nav.menu a[href='/keys'][aria-current='page']");
    browser.press("Create a key");
    browser.fill("#name", "notes agent");
    browser.click("input[name='scope'][value='notes:read']");
    browser.press("Create the key");
    take_secret(browser)
}

fn rotate(browser: &Browser, key: &MintedKey) -> MintedKey {
    browser.go(&format!("/keys/{}", key.id()));
    browser.press("Rotate");
    browser.press("Make a new secret");
    take_secret(browser)
}

/// Copies the secret that the page shows, and says that it is stored.
fn take_secret(browser: &Browser) -> MintedKey {
    let shown = browser.text("#secret");
    leaks::note(&shown);
    let read = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
    browser.devtools("Browser.grantPermissions", &read);
    browser.click("[data-copy='secret']");
    browser.wait_for_text("[data-copy='secret']", "Copied");
    assert_eq!(browser.run_async(READ_CLIPBOARD, &[]), json!(shown));
    browser.press("I have stored it");
    browser.until("the page of the key", || browser.path().starts_with("/keys/key_"));
    assert!(!browser.page().contains(&shown), "the secret is shown once");
    MintedKey::known(browser.path().trim_start_matches("/keys/"), &shown)
}

/// Revokes a key by typing its name, and reads the receipt.
fn revoke(browser: &Browser, key: &MintedKey) {
    browser.go(&format!("/keys/{}/revoke", key.id()));
    browser.fill("#name", "another name");
    browser.press("Revoke it for good");
    browser.wait_for("#name-wrong");
    browser.fill("#name", "notes agent");
    browser.press("Revoke it for good");
    browser.wait_for_text("h1", "Revoked");
    let receipt = browser.text("main");
    assert!(receipt.contains("1 of 1") || receipt.contains("one running instance"), "{receipt}");
}

/// Finds a refused request by its id, and reads which check refused it.
fn explained(browser: &Browser, request_id: Option<&str>, reason: &str, step: &str) {
    let request_id = request_id.expect("every answer has a request id");
    browser.go("/refusals");
    browser.fill("#request_id", request_id);
    browser.press("Find");
    browser.wait_for_text("h1", "Refused request");
    assert_eq!(browser.path(), format!("/refusals/{request_id}"));
    let last = browser.text(".steps .step:last-child");
    assert!(last.starts_with(step) && last.contains("refused"), "{last}");
    assert!(browser.text(".head").contains(reason), "{}", browser.text(".head"));
}
