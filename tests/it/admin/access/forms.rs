//! Forms: from our own pages alone, and by who may change something.

use std::fs;
use std::path::Path;

use super::visitor::Visitor;
use crate::support::curl::Curl;
use crate::support::{TestGateway, TestStore};

/// What is there for who is not signed in.
const WAYS_IN: &[&str] = &["/login", "/logout", "/setup"];

/// Forms that only ask, and whose fields no address may hold.
const QUESTIONS: &[&str] = &["/routes"];

/// The paths of the dashboard's pages, and whether they take forms: read from the router's source, so
/// that none is left out.
fn pages() -> Vec<(String, bool)> {
    let mut sources = String::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/dashboard"), &mut sources);
    let mut pages = Vec::new();
    for behind in sources.split(".route(").skip(1) {
        let mut parts = behind.splitn(3, '"').skip(1);
        let path = parts.next().expect("a route has a path");
        let handlers = parts.next().and_then(|rest| rest.split([';', '}']).next());
        if path.starts_with("/assets/") {
            continue;
        }
        let mut real = path.to_owned();
        while let (Some(begin), Some(end)) = (real.find('{'), real.find('}')) {
            real.replace_range(begin..=end, "x");
        }
        pages.push((real, handlers.is_some_and(|handlers| handlers.contains("post("))));
    }
    pages
}

fn read(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, sources);
        } else if path.extension().is_some_and(|it| it == "rs") {
            sources.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn no_page_is_shown_to_who_is_not_signed_in_and_no_form_is_taken_from_a_viewer() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let token = gateway.admin_token("--name looker --role viewer");
    let mut viewer = Visitor::signed_in(&gateway, &token);
    let pages = pages();
    for known in ["/", "/login", "/logout", "/setup"] {
        assert!(pages.iter().any(|(path, _)| path == known), "{known} is not in {pages:?}");
    }
    for (path, has_form) in pages.iter().filter(|(path, _)| !WAYS_IN.contains(&path.as_str())) {
        let mut stranger = Visitor::of(&gateway);
        for answer in [stranger.get(path), stranger.post(path, "")] {
            if answer.status != 405 {
                assert_eq!(answer.status, 303, "{path}: {}", answer.text());
                assert!(answer.header("location").is_some_and(|to| to.starts_with("/login")));
            }
        }
        let answer = viewer.post(path, "name=a");
        if QUESTIONS.contains(&path.as_str()) {
            assert_ne!(answer.status, 403, "{path}: {}", answer.text());
        } else if *has_form {
            assert_eq!(answer.status, 403, "{path}: {}", answer.text());
            assert!(answer.text().contains("viewer"), "{path}: {}", answer.text());
        } else {
            assert!(matches!(answer.status, 403 | 405), "{path}: {}", answer.status);
        }
    }
    assert_eq!(viewer.get("/").status, 200, "they may look");
}

#[test]
fn a_form_from_elsewhere_does_nothing() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let token = gateway.admin_token("--name ops");
    let visitor = Visitor::signed_in(&gateway, &token);
    let own = format!("Origin: http://{}", gateway.admin_address());
    let from = |fields: &[&str]| {
        let call = visitor.call("/logout").method("POST").body("");
        fields.iter().fold(call, |call, field| call.header(field)).send()
    };
    for fields in [
        &[][..],
        &["Sec-Fetch-Site: cross-site"],
        &["Sec-Fetch-Site: same-site"],
        &["Sec-Fetch-Site: none"],
        &["Sec-Fetch-Site: cross-site", &own],
        &["Origin: null"],
        &["Origin: https://a.example"],
        &["Origin: http://127.0.0.1:1"],
        &["Referer: http://a.example/"],
    ] {
        let answer = from(fields);
        assert_eq!(answer.status, 403, "{fields:?}");
        assert!(answer.text().contains("not sent from a page"), "{}", answer.text());
    }
    assert_eq!(visitor.get("/").status, 200, "the session is still there");
    for path in ["/login", "/setup"] {
        let call = visitor.call(path).method("POST").body("token=a&name=a&code=a");
        assert_eq!(call.header("Sec-Fetch-Site: cross-site").send().status, 403, "{path}");
    }
    assert_eq!(from(&[&own]).status, 303, "an older browser's form from our own page");
    assert_eq!(visitor.get("/").status, 303);
}

#[test]
fn the_api_takes_no_cookie() {
    let gateway = TestGateway::with(TestStore::sqlite()).start();
    let token = gateway.admin_token("--name ops");
    let visitor = Visitor::signed_in(&gateway, &token);
    let path = "/admin/v1/instances";
    visitor.call(path).header("Sec-Fetch-Site: same-origin").send().is_error(401, "unauthorized");
    let cookie = visitor.cookie.clone().unwrap();
    let (_, value) = cookie.split_once('=').unwrap();
    let call = Curl::new(gateway.admin_address(), path);
    call.header(&format!("Authorization: Bearer {value}")).send().is_error(401, "unauthorized");
    // Nor does a page take a token.
    let call = gateway.as_admin(&token, "/").send();
    assert_eq!(call.status, 303);
}
