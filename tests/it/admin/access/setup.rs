//! The way in while there is no token yet.

use super::visitor::Visitor;
use crate::support::{TestGateway, TestStore, leaks};

/// The address that the gateway prints, without its code, and the code.
fn offered(gateway: &TestGateway) -> (String, String) {
    let line = gateway.process().err.wait_for("/setup#", |log| {
        log.lines().find(|line| line.contains("/setup#")).map(str::to_owned)
    });
    let (address, code) = line.trim().split_once('#').expect("it has a code");
    (address.to_owned(), code.to_owned())
}

fn shown(page: &str) -> String {
    let behind = page.split(r#"<pre id="token">"#).nth(1).unwrap_or_else(|| panic!("{page}"));
    let token = behind.split('<').next().unwrap().to_owned();
    leaks::note(&token);
    token
}

#[test]
fn the_first_token_is_made_by_who_has_the_address_and_once() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let (address, code) = offered(&gateway);
    assert_eq!(address, format!("http://{}/setup", gateway.admin_address()));
    gateway.wait_for_log("admin-token create --name NAME");
    let mut visitor = Visitor::of(&gateway);
    let form = visitor.get("/setup");
    assert_eq!(form.status, 200);
    assert!(form.text().contains(r#"src="/assets/setup.js""#), "{}", form.text());
    assert!(visitor.get("/assets/setup.js").text().contains("location.hash"));
    assert!(visitor.get("/login").text().contains("printed when it started"));

    let wrong = visitor.post("/setup", "name=ops&code=0123");
    assert_eq!(wrong.status, 403);
    assert!(wrong.text().contains("not the code"), "{}", wrong.text());
    let nameless = visitor.post("/setup", &format!("name=+&code={code}"));
    assert_eq!(nameless.status, 400);
    assert!(nameless.text().contains("1 to 100 characters"), "{}", nameless.text());
    assert_eq!(visitor.post("/setup", "name=ops").status, 400);
    assert_eq!(visitor.cookie, None);

    let made = visitor.post("/setup", &format!("name=Ada+%3Cops%3E&code={code}"));
    assert_eq!(made.status, 200, "{}", made.text());
    made.says("cache-control", "no-store");
    let token = shown(&made.text());
    assert!(made.text().contains("Ada &#60;ops&#62;"), "{}", made.text());
    assert_eq!(visitor.get("/").status, 200, "the browser is signed in");
    assert_eq!(Visitor::of(&gateway).sign_in(&token).status, 303);
    assert_eq!(visitor.get("/setup").status, 404);
    let again = visitor.post("/setup", &format!("name=again&code={code}"));
    assert_eq!(again.status, 404);
    assert!(!visitor.get("/login").text().contains("printed when it started"));

    let tokens = gateway.run("admin-token list");
    assert_eq!(tokens["data"].as_array().map(Vec::len), Some(1), "{tokens}");
    assert_eq!(tokens["data"][0]["role"], "admin");
    let rows = gateway.run("audit --actor setup");
    let row = &rows["data"][0];
    assert_eq!(
        (&row["action"], &row["address"]),
        (&"admin_token.create".into(), &"127.0.0.1".into())
    );
    assert_eq!(row["target"], tokens["data"][0]["id"]);
}

#[test]
fn where_somebody_else_was_first_that_is_said() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let (_, code) = offered(&gateway);
    gateway.admin_token("--name other");
    let mut visitor = Visitor::of(&gateway);
    let late = visitor.post("/setup", &format!("name=late&code={code}"));
    assert_eq!(late.status, 409);
    assert!(late.text().contains("Somebody else has made"), "{}", late.text());
    assert_eq!(visitor.cookie, None);
    assert_eq!(visitor.get("/setup").status, 404);
    assert_eq!(gateway.run("admin-token list")["data"].as_array().map(Vec::len), Some(1));
}

#[test]
fn guessing_the_code_is_limited_like_signing_in() {
    let setup = TestGateway::with(TestStore::sqlite());
    let gateway = setup.config("[admin]\nfailed_sign_in_per_ip = \"3/min\"").start();
    let (_, code) = offered(&gateway);
    let mut visitor = Visitor::of(&gateway);
    for _ in 0..3 {
        assert_eq!(visitor.post("/setup", "name=a&code=guess").status, 403);
    }
    let blocked = visitor.post("/setup", &format!("name=a&code={code}"));
    assert_eq!(blocked.status, 429);
    assert!(blocked.header("retry-after").is_some());
    assert_eq!(visitor.sign_in("guess").status, 429);
}

#[test]
fn where_there_is_a_token_nothing_is_offered() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    gateway.admin_token("--name ops");
    let another = gateway.another();
    // What it says at the beginning comes in this order.
    another.wait_for_log("There are no keys yet");
    let answer = Visitor::of(&another).get("/setup");
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("admin-token create"), "{}", answer.text());
    assert!(!another.log().contains("/setup#"));
}
