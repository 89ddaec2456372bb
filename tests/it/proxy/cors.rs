//! Pages of other origins: asked about without a key, answered so that they can read it.

use super::open;
use crate::support::curl::Curl;
use crate::support::{Origin, TestGateway, TestStore};

const APP: &str = "Origin: https://app.example.com";
const ROUTES: &str = r#"
[scopes]
"agents:write" = "Change agents"
[[routes]]
path = "/v1/agents"
methods = ["GET"]
upstream = "api"
cors = { origins = ["https://app.example.com", "http://localhost:3000"] }
[[routes]]
path = "/v1/agents"
methods = ["POST"]
scopes = ["agents:write"]
limits = ["1/hour"]
upstream = "api"
cors = { origins = ["https://app.example.com"] }
[[routes]]
path = "/v1/agents"
methods = ["DELETE"]
upstream = "api"
[[routes]]
path = "/public"
public = true
upstream = "api"
cors = { origins = ["*"] }
"#;

fn gateway(origin: &Origin) -> TestGateway {
    TestGateway::with(TestStore::sqlite()).config(ROUTES).upstream("api", origin).start()
}

fn preflight(gateway: &TestGateway, path: &str, method: &str) -> Curl {
    let wants = format!("Access-Control-Request-Method: {method}");
    gateway.curl(path).method("OPTIONS").header(&wants)
}

#[test]
fn a_preflight_is_answered_without_a_key_and_without_the_upstream() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let asked = "Access-Control-Request-Headers: x-api-key, x-mine";
    let answer = preflight(&gateway, "/v1/agents", "POST").header(APP).header(asked).send();
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    answer
        .says("access-control-allow-origin", "https://app.example.com")
        .says("access-control-allow-methods", "GET, HEAD, POST")
        .says("access-control-allow-headers", "authorization, content-type, x-api-key, x-mine")
        .says("access-control-max-age", "600")
        .says("vary", "origin, access-control-request-method, access-control-request-headers")
        .lacks("access-control-allow-credentials")
        .lacks("www-authenticate");
    assert!(answer.header("x-request-id").is_some());
    let answer = preflight(&gateway, "/public", "PUT").header("Origin: https://any").send();
    answer.says("access-control-allow-origin", "*");
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_preflight_of_another_origin_allows_nothing() {
    let gateway = gateway(&Origin::start());
    for origin in ["https://evil.example", "null", "https://app.example.com.evil"] {
        let field = format!("Origin: {origin}");
        let answer = preflight(&gateway, "/v1/agents", "POST").header(&field).send();
        assert_eq!(answer.status, 204);
        answer.lacks("access-control-allow-origin").lacks("access-control-allow-methods");
    }
}

#[test]
fn options_is_for_the_routes_that_have_it_where_no_page_asks_for_one_that_speaks_to_it() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let refused = |call: Curl, status| {
        let answer = call.send();
        assert_eq!(answer.status, status);
        answer.lacks("access-control-allow-origin");
    };
    refused(preflight(&gateway, "/v1/agents", "DELETE").header(APP), 405);
    refused(preflight(&gateway, "/v1/agents", "PUT").header(APP), 405);
    refused(preflight(&gateway, "/v1/other", "GET").header(APP), 404);
    refused(preflight(&gateway, "/v1/agents", "GET"), 405);
    refused(gateway.curl("/v1/agents").method("OPTIONS").header(APP), 405);
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_page_reads_answers_and_refusals() {
    let origin = Origin::scripted(|call| {
        call.answer(200, &[("access-control-allow-origin", "*"), ("vary", "accept")], b"agents")
    });
    let gateway = gateway(&origin);
    let (reader, writer) = (gateway.key("--name a"), gateway.key("--name b --scope agents:write"));
    let call = || gateway.curl("/v1/agents").header(APP);
    let answers = [
        (200, call().bearer(&reader).send()),
        (401, call().send()),
        (403, call().method("POST").bearer(&reader).send()),
        (200, call().method("POST").bearer(&writer).send()),
        (429, call().method("POST").bearer(&writer).send()),
    ];
    for (status, answer) in answers {
        assert_eq!(answer.status, status);
        answer.says("access-control-allow-origin", "https://app.example.com");
        assert_eq!(answer.fields.all("vary").last(), Some(&"origin"));
        let exposed = answer.header("access-control-expose-headers").unwrap_or_default();
        for (name, _) in &answer.fields.0 {
            let ours =
                name.contains("ratelimit") || name == "retry-after" || name == "x-request-id";
            assert!(!ours || exposed.contains(name.as_str()), "{name} is exposed: {exposed}");
        }
    }
}

#[test]
fn what_an_upstream_says_to_other_pages_is_not_passed_on() {
    let origin = Origin::scripted(|call| {
        let allow = ("access-control-allow-origin", "https://evil.example");
        call.answer(200, &[allow, ("access-control-allow-credentials", "true")], b"")
    });
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    let call = || gateway.curl("/v1/agents").bearer(&key);
    for answer in [call().header("Origin: https://evil.example").send(), call().send()] {
        assert_eq!(answer.status, 200);
        answer.lacks("access-control-allow-origin").lacks("access-control-allow-credentials");
        answer.says("vary", "origin");
    }
}

#[test]
fn without_cors_the_upstream_speaks_to_browsers_itself() {
    let origin = Origin::scripted(|call| {
        call.answer(200, &[("access-control-allow-origin", "https://own.example")], b"")
    });
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let answer = gateway.curl("/a").bearer(&key).header(APP).send();
    answer.says("access-control-allow-origin", "https://own.example").lacks("vary");
}
