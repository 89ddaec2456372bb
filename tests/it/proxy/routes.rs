//! Paths and methods: what is matched is byte for byte what the upstream gets.

use super::open;
use crate::support::{Origin, TestGateway, TestStore, wire};

const ROUTES: &str = r#"
[scopes]
"agents:read" = "Read agent information"
"agents:write" = "Change agents"
[[routes]]
path = "/v1/agents"
methods = ["GET"]
scopes = ["agents:read"]
upstream = "api"
[[routes]]
path = "/v1/agents"
methods = ["POST", "DELETE"]
scopes = ["agents:write"]
upstream = "api"
[[routes]]
path = "/v1/agents/{id}"
upstream = "api"
[[routes]]
path = "/v1/agents/search"
scopes = ["agents:write"]
upstream = "api"
[[routes]]
path = "/inner/**"
strip_prefix = "/inner"
upstream = "api"
[[routes]]
path = "/options"
methods = ["OPTIONS"]
upstream = "api"
"#;

fn gateway(origin: &Origin) -> TestGateway {
    TestGateway::with(TestStore::sqlite()).config(ROUTES).upstream("api", origin).start()
}

#[test]
fn the_upstream_gets_the_path_that_was_matched_and_the_query_untouched() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    for (sent, got) in [
        ("/a/b", "/a/b"),
        ("/a/b/", "/a/b/"),
        ("/%61%2D%7eb", "/a-~b"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/a%20b;c=d", "/a%20b;c=d"),
        ("/a?x=%41&y=/../&z=a+b%2f", "/a?x=%41&y=/../&z=a+b%2f"),
        ("/a?", "/a?"),
        ("/a?b?c", "/a?b?c"),
        ("/.well-known/x", "/.well-known/x"),
        ("/...", "/..."),
    ] {
        let answer = gateway.curl(sent).bearer(&key).send();
        assert_eq!(answer.status, 200, "{sent}: {}", answer.text());
        assert_eq!(origin.last().target, got, "{sent}");
    }
}

#[test]
fn a_path_that_could_be_read_as_another_is_refused() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let paths = [
        "/a/../b",
        "/a/..",
        "/./a",
        "/a/%2e%2e/b",
        "/%2E/a",
        "/a/.%2e/",
        "/..;/a",
        "/a/..;x=1/b",
        "/%2e%2e;x/a",
        "//a",
        "/a//b",
        "/a\\b",
        "/a%2fb",
        "/a%2Fb",
        "/a%5Cb",
        "/a%00",
        "/a%0a",
        "/a%",
        "/a%2",
        "/a%zz",
        "/a#b",
        "/%",
    ];
    for path in paths {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", key.secret());
        let answer = wire::ask(gateway.address(), request);
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.json()["error"]["code"], "bad_request", "{path}");
        answer.says("connection", "close");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn the_path_is_judged_of_an_absolute_target_and_its_authority_is_the_host() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let request = format!(
        "GET http://api.example/a?b HTTP/1.1\r\nHost: other.example\r\nX-API-Key: {}\r\n\r\n",
        key.secret()
    );
    assert_eq!(wire::ask(gateway.address(), request).status, 200);
    assert_eq!(origin.last().target, "/a?b");
    assert_eq!(origin.last().fields.all("host"), ["api.example"]);
}

#[test]
fn the_most_specific_path_decides() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let key = gateway.key("--name a --scope agents:read");
    assert_eq!(gateway.curl("/v1/agents/agt_1").bearer(&key).send().status, 200);
    assert_eq!(gateway.curl("/v1/agents/search").bearer(&key).send().status, 403);
    assert_eq!(gateway.curl("/v1/agents/%73earch").bearer(&key).send().status, 403);
}

#[test]
fn what_no_route_has_is_404_before_any_key_is_asked_for() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    for path in ["/", "/v1", "/v1/agents/", "/v1/agents/a/b", "/V1/agents", "/inner", "/innermost"]
    {
        gateway.curl(path).send().is_refusal(404, "not_found", "No such route");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_method_that_the_path_does_not_have_is_405_with_those_it_has() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    for (method, path) in [
        ("PUT", "/v1/agents"),
        ("OPTIONS", "/v1/agents"),
        ("get", "/v1/agents"),
        ("OPTIONS", "/v1/agents/agt_1"),
        ("GET", "/options"),
    ] {
        let answer = gateway.curl(path).method(method).send();
        answer.is_refusal(405, "method_not_allowed", "Method not allowed");
        let allow = answer.header("allow").expect("an Allow header");
        let mut allowed: Vec<&str> = allow.split(", ").collect();
        allowed.sort_unstable();
        let expected: &[&str] = match path {
            "/v1/agents" => &["DELETE", "GET", "HEAD", "POST"],
            "/options" => &["OPTIONS"],
            _ => &["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"],
        };
        assert_eq!(allowed, expected, "{method} {path}");
    }
    let key = gateway.key("--name a --scope agents:read");
    assert_eq!(gateway.curl("/v1/agents").method("HEAD").bearer(&key).send().status, 200);
    assert_eq!(gateway.curl("/options").method("OPTIONS").bearer(&key).send().status, 200);
}

#[test]
fn connect_and_trace_are_refused_whatever_the_routes_say() {
    let origin = Origin::start();
    let gateway = open(&origin);
    for request in [
        "TRACE /a HTTP/1.1\r\nHost: a\r\n\r\n",
        "CONNECT api.example:443 HTTP/1.1\r\nHost: api.example:443\r\n\r\n",
    ] {
        let answer = wire::ask(gateway.address(), request);
        answer.is_refusal(405, "method_not_allowed", "Method not allowed");
        assert!(answer.header("allow").is_some());
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_stripped_prefix_is_taken_off_the_path_alone() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    for (sent, got) in [
        ("/inner/a/b?c=/inner/", "/a/b?c=/inner/"),
        ("/inner/inner/a", "/inner/a"),
        ("/%69nner/a", "/a"),
    ] {
        assert_eq!(gateway.curl(sent).bearer(&key).send().status, 200, "{sent}");
        assert_eq!(origin.last().target, got, "{sent}");
    }
}
