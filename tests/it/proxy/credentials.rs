//! Where a key is looked for, and that it never reaches the upstream.

use super::{OPEN, open};
use crate::support::{Origin, TestGateway, TestStore, leaks, wire};

#[test]
fn every_header_that_held_the_key_is_taken_off() {
    let origin = Origin::start();
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config("[keys]\nheaders = [\"authorization\", \"x-api-key\", \"x-sovant-api-key\"]")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a");
    let secret = key.secret();
    for fields in [
        vec![format!("Authorization: Bearer {secret}")],
        vec![format!("X-API-Key: {secret}")],
        vec![format!("x-sovant-api-key: {secret}")],
        vec![
            format!("Authorization: Bearer {secret}"),
            format!("X-API-Key: {secret}"),
            format!("X-Sovant-Api-Key: {secret}"),
        ],
    ] {
        let call = fields.iter().fold(gateway.curl("/a"), |call, field| call.header(field));
        assert_eq!(call.send().status, 200, "{} fields", fields.len());
        for name in ["authorization", "x-api-key", "x-sovant-api-key"] {
            assert_eq!(origin.last().header(name), None);
        }
    }
    assert_eq!(leaks::find(&origin.bytes()), None, "the upstream saw a secret");
}

#[test]
fn the_bearer_scheme_is_read_in_any_case_and_behind_any_run_of_spaces() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    for scheme in ["Bearer ", "bearer ", "BEARER ", "BeArEr    "] {
        let field = format!("Authorization: {scheme}{}", key.secret());
        assert_eq!(gateway.curl("/a").header(&field).send().status, 200, "{scheme:?}");
    }
}

#[test]
fn what_holds_no_key_is_a_missing_key() {
    let origin = Origin::start();
    let gateway = open(&origin);
    for field in [
        "Accept: */*",
        "Authorization: Bearer",
        "Authorization: Bearer   ",
        "Authorization: Basic dTpw",
        "Authorization: Token abc",
        "X-API-Key;",
    ] {
        let answer = gateway.curl("/a").header(field).send();
        answer.is_refusal(401, "unauthorized", "Invalid or missing API key");
        answer.says("www-authenticate", "Bearer");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_key_in_the_query_is_no_key() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let answer = gateway.curl(&format!("/a?api_key={}", key.secret())).send();
    answer.says("www-authenticate", "Bearer");
    assert_eq!(answer.status, 401);
}

#[test]
fn an_authorization_of_another_scheme_passes_beside_a_key_in_another_header() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let call = gateway.curl("/a").header("Authorization: Basic dTpw").api_key(&key);
    assert_eq!(call.send().status, 200);
    assert_eq!(origin.last().header("authorization"), Some("Basic dTpw"));
    assert_eq!(origin.last().header("x-api-key"), None);
}

#[test]
fn two_credentials_are_refused_whether_or_not_they_are_good() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let (one, other) = (gateway.key("--name one"), gateway.key("--name other"));
    let (one, other) = (one.secret(), other.secret());
    for fields in [
        [format!("Authorization: Bearer {one}"), format!("X-API-Key: {other}")],
        [format!("Authorization: Bearer {one}"), format!("Authorization: Bearer {one}")],
        ["Authorization: Basic dTpw".to_owned(), format!("Authorization: Bearer {one}")],
        [format!("X-API-Key: {one}"), format!("X-API-Key: {one}")],
        [format!("X-API-Key: {one}"), "x-api-key: nonsense".to_owned()],
    ] {
        let [first, second] = fields;
        let request = format!("GET /a HTTP/1.1\r\nHost: a\r\n{first}\r\n{second}\r\n\r\n");
        let answer = wire::ask(gateway.address(), request);
        assert_eq!(answer.status, 400);
        assert_eq!(answer.json()["error"]["code"], "bad_request");
        leaks::search("a 400", &answer.body);
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_public_route_asks_for_no_key_and_passes_none_on() {
    let origin = Origin::start();
    let public = "[[routes]]\npath = \"/status\"\npublic = true\nupstream = \"api\"";
    let gateway =
        TestGateway::with(TestStore::sqlite()).config(public).upstream("api", &origin).start();
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/status").send().status, 200);
    assert_eq!(gateway.curl("/status").header("Authorization: Basic dTpw").send().status, 200);
    assert_eq!(origin.last().header("authorization"), Some("Basic dTpw"));
    for call in [gateway.curl("/status").bearer(&key), gateway.curl("/status").api_key(&key)] {
        assert_eq!(call.send().status, 200);
        let request = origin.last();
        assert_eq!((request.header("authorization"), request.header("x-api-key")), (None, None));
        assert_eq!(request.header("x-auth-key-id"), None);
    }
}
