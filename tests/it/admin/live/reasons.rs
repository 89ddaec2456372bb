//! Every reason that a request can be refused for is found by the request's id, with the check that
//! refused it as the last one.

use std::collections::BTreeSet;

use keygate::domain::Reason;
use serde_json::Value;

use super::{Scene, last_check};
use crate::support::curl::Curl;
use crate::support::{Answer, MintedKey, Origin, TestGateway, Wire, until, wire};

/// Where nobody listens, and where somebody takes connections and never answers.
fn config(silent: &Origin) -> String {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr());
    format!(
        r#"
[errors.rate_limited]
code = "SLOW_DOWN"
message = "{{limit}} is enough"
[upstreams.gone]
targets = ["http://{}"]
[upstreams.silent]
targets = ["http://{}"]
timeout = "200ms"
[[routes]]
path = "/gone"
public = true
upstream = "gone"
[[routes]]
path = "/silent"
upstream = "silent"
"#,
        nobody.expect("a port is free"),
        silent.address()
    )
}

/// The gateway, and what was refused for.
struct Refusing {
    scene: Scene,
    seen: BTreeSet<Reason>,
}

impl Refusing {
    /// Calls until it is refused with that status, and has it explained: the check by which, and the
    /// detail of it.
    #[track_caller]
    fn refused(
        &mut self,
        reason: Reason,
        step: &str,
        call: impl Fn(&TestGateway) -> Curl,
    ) -> Value {
        let id = format!("{}-{}.{}", reason.name(), step, self.seen.len());
        let call = || {
            let field = format!("X-Request-Id: {id}");
            call(&self.scene.gateway).header(&field).send()
        };
        let mut answer = call();
        // A change of the store is in force within a moment.
        until("it is refused", || {
            answer = call();
            answer.status == reason.status()
        });
        // Of a head that was not read, the id is the gateway's own.
        let id = answer.header("x-request-id").expect("every answer has one").to_owned();
        self.explained(&id, reason, step, &answer)
    }

    #[track_caller]
    fn explained(&mut self, id: &str, reason: Reason, step: &str, answer: &Answer) -> Value {
        let explained = self.scene.seen(&format!("explain?request={id}"));
        let said = |name: &str| explained[name].as_str().map(str::to_owned);
        assert_eq!(said("reason").as_deref(), Some(reason.name()), "{explained}");
        assert_eq!(explained["status"], answer.status, "{explained}");
        let error = &answer.json()["error"];
        assert_eq!(explained["answer"]["code"], error["code"], "{explained}");
        assert_eq!(explained["answer"]["message"], error["message"], "{explained}");
        let last = last_check(&explained);
        assert_eq!((last["step"].as_str(), &last["outcome"]), (Some(step), &"refused".into()));
        assert!(last["detail"].as_str().unwrap().starts_with(reason.name()), "{last}");
        let checks = explained["checks"].as_array().unwrap();
        let before = &checks[..checks.len() - 1];
        assert!(before.iter().all(|check| check["outcome"] != "refused"), "{explained}");
        self.seen.insert(reason);
        explained
    }
}

fn detail(explained: &Value) -> &str {
    last_check(explained)["detail"].as_str().unwrap()
}

#[test]
fn every_reason_that_a_request_can_provoke_is_explained_by_its_id() {
    let (origin, silent) = (Origin::start(), Origin::silent());
    let scene = Scene::of(&origin, &config(&silent));
    let gateway = &scene.gateway;
    let key = gateway.key("--name plain --scope notes:read");
    let far = gateway.key("--name far --allow-ip 10.0.0.0/8");
    let test = gateway.key("--name test --test");
    let spender = gateway.key("--name spender --budget 0.0005");
    let [ended, disabled, revoked] =
        ["ended", "disabled", "revoked"].map(|name| gateway.key(&format!("--name {name}")));
    gateway.run("owner create rich");
    gateway.run("credits add --owner rich 0.0005");
    let rich = gateway.key("--name rich --owner rich");
    gateway.run("owner create gone");
    let orphan = gateway.key("--name orphan --owner gone");
    gateway.mint(&format!("key rotate {} --grace 0", ended.id()));
    gateway.run(&format!("key disable {}", disabled.id()));
    gateway.run(&format!("key revoke {}", revoked.id()));
    gateway.run("owner disable gone");
    let mut it = Refusing { scene, seen: BTreeSet::new() };
    let by = |key: &MintedKey, path: &'static str| {
        let field = format!("Authorization: Bearer {}", key.secret());
        move |gateway: &TestGateway| gateway.curl(path).header(&field)
    };

    it.refused(Reason::BadRequest, "head", |gateway| gateway.curl("/a//b"));
    it.refused(Reason::ExpectationFailed, "head", |gateway| {
        gateway.curl("/any").header("Expect: miracles")
    });
    it.refused(Reason::HeadersTooLarge, "head", |gateway| {
        gateway.curl("/any").header(&format!("X-Long: {}", "x".repeat(40_000)))
    });
    it.refused(Reason::MethodNotAllowed, "head", |gateway| gateway.curl("/any").method("TRACE"));
    it.refused(Reason::RouteNotFound, "route", |gateway| gateway.curl("/nowhere"));
    it.refused(Reason::MethodNotAllowed, "route", |gateway| gateway.curl("/open").method("PUT"));
    let missing = it.refused(Reason::MissingKey, "credential", |gateway| gateway.curl("/any"));
    assert!(detail(&missing).contains("none in authorization, x-api-key"), "{missing}");
    assert_eq!(missing["key_id"], Value::Null);
    it.refused(Reason::BadRequest, "credential", |gateway| {
        gateway.curl("/any").header("Authorization: Bearer a").header("X-Api-Key: b")
    });
    it.refused(Reason::InvalidKey, "verify", |gateway| {
        gateway.curl("/any").header("X-Api-Key: sk_live_nothing")
    });
    for (key, reason) in [
        (&ended, Reason::ExpiredKey),
        (&disabled, Reason::DisabledKey),
        (&revoked, Reason::RevokedKey),
        (&orphan, Reason::OwnerDisabled),
    ] {
        let explained = it.refused(reason, "verify", by(key, "/any"));
        assert_eq!(explained["key_id"], key.id(), "{explained}");
        assert!(detail(&explained).contains(key.id()), "{explained}");
    }
    it.refused(Reason::EnvironmentNotAllowed, "environment", by(&test, "/live"));
    let far = it.refused(Reason::IpNotAllowed, "address", by(&far, "/any"));
    assert!(detail(&far).contains("127.0.0.1, allowed: 10.0.0.0/8"), "{far}");
    let narrow = it.refused(Reason::MissingScope, "scope", by(&key, "/both"));
    let wanted = "needs notes:read and notes:write, has notes:read, lacks notes:write";
    assert!(detail(&narrow).contains(wanted), "{narrow}");
    let large = by(&key, "/small");
    it.refused(Reason::BodyTooLarge, "body", |gateway| large(gateway).body(&"x".repeat(1_025)));
    it.refused(Reason::BodyTooLarge, "body", |gateway| {
        gateway.curl("/open").body(&"x".repeat(1_025))
    });
    let limited = it.refused(Reason::RateLimited, "limit", by(&key, "/limited"));
    assert!(detail(&limited).contains("1/min is reached, the next request passes in"), "{limited}");
    assert_eq!(limited["answer"]["message"], "1/min is enough");
    let spent = it.refused(Reason::BudgetExceeded, "budget", by(&spender, "/paid"));
    let bound = format!(
        "costs 0.001; 0.00 was held here, and no more was to be had: 0.0005 a month of {}",
        spender.id()
    );
    assert!(detail(&spent).ends_with(&bound), "{spent}");
    it.refused(Reason::CreditsExhausted, "budget", by(&rich, "/paid"));
    it.refused(Reason::NotFound, "self_service", by(&writer(&it), "/v1/api-keys/key_nowhere"));
    let rotates = writer(&it);
    it.refused(Reason::Conflict, "self_service", |gateway| {
        by(&rotates, "/v1/api-keys/rotate")(gateway).method("POST").body("{}")
    });
    let gone = it.refused(Reason::UpstreamUnavailable, "forward", |gateway| gateway.curl("/gone"));
    assert!(detail(&gone).contains("to upstream gone: 127.0.0.1:"), "{gone}");
    let late = it.refused(Reason::UpstreamTimeout, "forward", by(&key, "/silent"));
    let limit = late["checks"].as_array().unwrap().iter().find(|check| check["step"] == "limit");
    assert!(limit.unwrap()["detail"].as_str().unwrap().contains("1000/min"), "{late}");

    // These need a store that is away, threads that are busy, TLS, or a fault.
    let others = [
        Reason::StoreUnavailable,
        Reason::Overloaded,
        Reason::HttpsRequired,
        Reason::InternalError,
    ];
    let all: BTreeSet<Reason> = Reason::ALL.iter().copied().collect();
    let seen: BTreeSet<Reason> = it.seen.iter().chain(&others).copied().collect();
    assert_eq!(seen, all);
}

fn writer(it: &Refusing) -> MintedKey {
    it.scene.gateway.key("--name writer --scope keys:read --scope keys:write")
}

#[test]
fn a_head_that_nobody_could_read_is_told_without_method_and_path() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "");
    let answer =
        wire::ask(scene.gateway.address(), "GET /a HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n");
    assert_eq!(answer.status, 400);
    let id = answer.header("x-request-id").unwrap().to_owned();
    let mut it = Refusing { scene, seen: BTreeSet::new() };
    let explained = it.explained(&id, Reason::BadRequest, "head", &answer);
    assert_eq!((&explained["method"], &explained["path"]), (&"-".into(), &"-".into()));
}

#[test]
fn who_failed_too_often_is_told_of_before_any_key() {
    let origin = Origin::start();
    let scene = Scene::of(&origin, "[limits]\nfailed_auth_per_ip = \"1/min\"");
    let mut it = Refusing { scene, seen: BTreeSet::new() };
    let explained = it.refused(Reason::RateLimited, "verify", |gateway| {
        gateway.curl("/any").header("X-Api-Key: sk_live_nothing")
    });
    assert!(
        detail(&explained).contains("1/min attempts from 127.0.0.1 have failed"),
        "{explained}"
    );
}

#[test]
fn a_key_that_ends_while_its_request_waits_is_told_so() {
    let (origin, silent) = (Origin::start(), Origin::silent());
    let config = config(&silent).replace("200ms", "60s");
    let scene = Scene::of(&origin, &config);
    let key = scene.gateway.key("--name patient");
    let mut waiting = Wire::connect(scene.gateway.address());
    let secret = key.secret();
    waiting.send(format!("GET /silent HTTP/1.1\r\nHost: a\r\nX-Api-Key: {secret}\r\n\r\n"));
    silent.wait_for("the request", |received| !received.is_empty());
    scene.gateway.run(&format!("key revoke {}", key.id()));
    let answer = waiting.answer();
    let id = answer.header("x-request-id").unwrap().to_owned();
    let mut it = Refusing { scene, seen: BTreeSet::new() };
    let explained = it.explained(&id, Reason::RevokedKey, "forward", &answer);
    assert!(detail(&explained).contains("its key ended while it was under way"), "{explained}");
}
