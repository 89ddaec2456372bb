//! Browsers that are signed in, and for how long.

use rstest::rstest;

use super::visitor::Visitor;
use crate::support::{Kind, TestGateway, TestStore, until};

#[rstest]
fn a_session_ends_with_its_token_and_by_signing_out(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = TestStore::of(kind) else { return };
    let gateway = TestGateway::with(store).start();
    let token = gateway.admin_token("--name ops");
    let answer = Visitor::of(&gateway).get("/");
    assert_eq!(answer.status, 303);
    answer.says("location", "/login");
    let mut one = Visitor::signed_in(&gateway, &token);
    let other = Visitor::signed_in(&gateway, &token);
    assert_eq!(one.get("/").status, 200);
    let kept = one.cookie.clone();
    let answer = one.post("/logout", "");
    assert_eq!(answer.status, 303);
    let forget = answer.header("set-cookie").expect("the browser is told to forget it");
    assert!(forget.starts_with("keygate_session=;") && forget.contains("Max-Age=0"), "{forget}");
    one.cookie = kept;
    assert_eq!(one.get("/").status, 303, "it ended in the store, not in the browser alone");
    assert_eq!(other.get("/").status, 200);
    let id = gateway.run("admin-token list")["data"][0]["id"].as_str().unwrap().to_owned();
    gateway.run(&format!("admin-token revoke {id}"));
    assert_eq!(other.get("/").status, 303, "at once");
    assert_eq!(Visitor::of(&gateway).sign_in(token.text()).status, 401);
}

#[test]
fn the_cookie_is_out_of_reach_of_scripts_and_other_sites_and_ends_with_the_token() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let token = gateway.admin_token("--name ops");
    let answer = Visitor::of(&gateway).sign_in(token.text());
    let cookie = answer.header("set-cookie").unwrap();
    let (value, attributes) = cookie.split_once("; ").unwrap();
    assert_eq!(value.len(), "keygate_session=".len() + 64, "{value}");
    let mut attributes: Vec<&str> = attributes.split("; ").collect();
    attributes.sort_unstable();
    assert_eq!(attributes, ["HttpOnly", "Max-Age=43200", "Path=/", "SameSite=Strict"]);
    let short = gateway.admin_token("--name short --expires 1h");
    let answer = Visitor::of(&gateway).sign_in(short.text());
    let cookie = answer.header("set-cookie").unwrap();
    let lasts = cookie.split("Max-Age=").nth(1).unwrap().split(';').next().unwrap();
    let lasts: u32 = lasts.parse().unwrap();
    assert!((3_500..=3_600).contains(&lasts), "{cookie}");
}

#[test]
fn a_cookie_that_a_browser_brings_is_never_adopted() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let token = gateway.admin_token("--name ops");
    // What an attacker has planted stays worth nothing.
    let planted = format!("keygate_session={}", "ab".repeat(32));
    let mut victim = Visitor::with(&gateway, planted.clone());
    assert_eq!(victim.sign_in(token.text()).status, 303);
    assert_ne!(victim.cookie.as_ref(), Some(&planted));
    assert_eq!(victim.get("/").status, 200);
    let attacker = Visitor::with(&gateway, planted);
    assert_eq!(attacker.get("/").status, 303);
    // And a session of the attacker's own ends where somebody else signs in with it.
    let own = gateway.admin_token("--name attacker --role viewer");
    let attacker = Visitor::signed_in(&gateway, &own);
    let mut victim = Visitor::with(&gateway, attacker.cookie.clone().unwrap());
    assert_eq!(victim.sign_in(token.text()).status, 303);
    assert_ne!(victim.cookie, attacker.cookie);
    assert_eq!(attacker.get("/").status, 303);
    // Two of one name: whose is which, nobody knows.
    let both = format!("{}; {}", victim.cookie.clone().unwrap(), attacker.cookie.unwrap());
    let both = Visitor::with(&gateway, both);
    assert_eq!(both.get("/").status, 303);
    assert_eq!(victim.get("/").status, 200);
}

#[test]
fn who_signs_in_comes_where_they_wanted_to_go_and_nowhere_else() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let token = gateway.admin_token("--name ops");
    let mut visitor = Visitor::of(&gateway);
    let answer = visitor.get("/?since=7d");
    answer.says("location", "/login?next=%2F%3Fsince%3D7d");
    let form = visitor.get("/login?next=%2F%3Fsince%3D7d").text();
    assert!(form.contains(r#"name="next" value="/?since=7d""#), "{form}");
    for elsewhere in ["https://a.example/", "//a.example", "/\\a.example", "javascript:alert(1)"] {
        let form = visitor.get(&format!("/login?next={elsewhere}")).text();
        assert!(!form.contains("a.example") && !form.contains("alert"), "{form}");
        let answer = visitor.post("/login", &format!("token={}&next={elsewhere}", token.text()));
        answer.says("location", "/");
        visitor.cookie = None;
    }
    let answer = visitor.post("/login", &format!("token={}&next=/%3Fsince%3D7d", token.text()));
    answer.says("location", "/?since=7d");
    visitor.get("/login").says("location", "/");
    visitor.get("/login?next=/%3Fa").says("location", "/?a");
}

#[test]
fn a_part_of_a_page_sends_the_whole_page_to_sign_in() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let ask = |field: &str| {
        let call = Visitor::of(&gateway).call("/").header("HX-Request: true");
        call.header(field).send()
    };
    let answer = ask("HX-Current-URL: http://a.example/keys?q=a");
    assert_eq!((answer.status, answer.text()), (401, String::new()));
    answer.says("hx-redirect", "/login?next=%2Fkeys%3Fq%3Da").lacks("location");
    ask("HX-Current-URL: http://a.example/").says("hx-redirect", "/login");
}

#[rstest]
fn uses_are_noted_and_what_has_ended_is_not_kept(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = TestStore::of(kind) else { return };
    let gateway = TestGateway::with(store).start();
    let token = gateway.admin_token("--name ops");
    let listed = || gateway.run("admin-token list")["data"][0].clone();
    assert!(listed()["last_used_at"].is_null());
    let visitor = Visitor::signed_in(&gateway, &token);
    until("the use is noted", || !listed()["last_used_at"].is_null());
    gateway.store().sql("UPDATE admin_sessions SET expires_at = 1");
    let answer = visitor.get("/");
    assert_eq!(answer.status, 303);
    assert!(answer.header("set-cookie").is_some_and(|it| it.contains("Max-Age=0")));
}

#[test]
fn where_the_store_is_away_nobody_comes_in_and_nobody_is_told_that_they_are_wrong() {
    let Some(store) = TestStore::own_postgres() else { return };
    let gateway = TestGateway::with(store).start();
    let token = gateway.admin_token("--name ops");
    let mut visitor = Visitor::signed_in(&gateway, &token);
    assert_eq!(visitor.get("/").status, 200);
    gateway.store().server().stop();
    let path = "/admin/v1/instances";
    gateway.as_admin(&token, path).send().is_error(503, "unavailable");
    let page = visitor.get("/");
    assert_eq!(page.status, 503, "{}", page.text());
    page.says("content-type", "text/html; charset=utf-8");
    let cookie = visitor.cookie.take();
    let answer = visitor.sign_in(token.text());
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("the store is out of reach"), "{}", answer.text());
    assert!(answer.text().contains("<form"), "it is the page itself");
    assert!(answer.header("retry-after").is_some());
    assert_eq!(gateway.as_admin(&token, path).header("Authorization: x").send().status, 401);
    gateway.store().server().start();
    visitor.cookie = cookie;
    until("the store is back", || visitor.get("/").status == 200);
}
