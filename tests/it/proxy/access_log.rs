//! The access log: one JSON line a request, with everything but a secret.

use super::{OPEN, open};
use crate::support::{Origin, TestGateway, TestStore};

const FIELDS: [&str; 17] = [
    "ts",
    "request_id",
    "client",
    "method",
    "path",
    "route",
    "status",
    "reason",
    "key_id",
    "owner_id",
    "env",
    "upstream",
    "target",
    "duration_ms",
    "overhead_ms",
    "bytes_in",
    "bytes_out",
];

#[test]
fn a_request_that_passed_is_a_line_with_every_field() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let call = gateway.curl("/a/b?c=d").header("X-Request-Id: passed").bearer(&key);
    assert_eq!(call.method("POST").body("12345").send().status, 200);
    let line = gateway.access_line("passed");
    let fields: Vec<&String> = line.as_object().expect("an object").keys().collect();
    assert_eq!(fields, FIELDS);
    assert_eq!(line["client"], "127.0.0.1");
    assert_eq!((&line["method"], &line["path"]), (&"POST".into(), &"/a/b?c=d".into()));
    assert_eq!((&line["route"], &line["status"]), (&"/**".into(), &200.into()));
    assert_eq!((&line["key_id"], &line["owner_id"]), (&key.id().into(), &"default".into()));
    assert_eq!((&line["env"], &line["upstream"]), (&"live".into(), &"api".into()));
    assert_eq!(line["target"], origin.address().to_string());
    assert_eq!((&line["bytes_in"], &line["bytes_out"]), (&5.into(), &11.into()));
    assert!(line["reason"].is_null());
    assert!(line["duration_ms"].as_f64() >= line["overhead_ms"].as_f64());
}

#[test]
fn a_refused_request_is_a_line_with_its_reason() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    gateway.run(&format!("key disable {}", key.id()));
    let disabled = || gateway.curl("/a").header("X-Request-Id: refused").bearer(&key).send();
    crate::support::until("the key is disabled", || disabled().status == 401);
    gateway.curl("/a").header("X-Request-Id: missing").send();
    gateway.curl("/a").header("X-Request-Id: malformed").header("X-API-Key: a").send();
    assert_eq!(gateway.access_line("missing")["reason"], "missing_key");
    assert_eq!(gateway.access_line("malformed")["reason"], "invalid_key");
    assert!(gateway.access_line("malformed")["key_id"].is_null());
    disabled();
    let lines = || gateway.access_log().matches("\"disabled_key\"").count();
    crate::support::until("the last refusal is logged", || lines() > 0);
}

#[test]
fn whatever_has_the_form_of_a_key_is_masked_in_path_and_query() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let secret = key.secret();
    let path = format!("/v1/agents/{secret}/revoke?key={secret}&a=b");
    let call = gateway.curl(&path).header("X-Request-Id: masked").bearer(&key);
    assert_eq!(call.send().status, 200);
    let line = gateway.access_line("masked");
    let logged = line["path"].as_str().expect("a path");
    assert!(logged.starts_with("/v1/agents/") && logged.ends_with("&a=b"), "the mask is too wide");
    assert!(crate::support::leaks::find(logged.as_bytes()).is_none(), "the secret was logged");
}

#[test]
fn a_sample_of_nothing_logs_nothing() {
    let origin = Origin::start();
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config("[access_log]\nsample = 0.0")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
    let mut gateway = gateway;
    gateway.signal(rustix::process::Signal::TERM);
    assert!(gateway.wait().success());
    assert_eq!(gateway.access_log(), "");
}
