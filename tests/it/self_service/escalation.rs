//! Getting more than one has: no way of it works, and none tells whether somebody else's key exists.

use serde_json::{Value, json};

use super::{CONFIG, Scene};
use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore, until};

/// A maker that may read models from two networks until some day, at a limit and a budget.
const MAKER: &str = "--scope keys:* --scope agents:create --scope models:read --expires 30d \
    --budget 50 --limit 1000/min --allow-ip 127.0.0.0/8 --allow-ip 2001:db8::/32";

/// What is asked for in JSON beside a name, what it is answered with, and what the answer names.
const WISHES: &[(&str, &str, u16, &str)] = &[
    ("a scope not held", r#""scopes":["models:use"]"#, 403, "models:use"),
    (
        "a held one and one that is not",
        r#""scopes":["models:read","services:use"]"#,
        403,
        "services:use",
    ),
    ("everything", r#""scopes":["*"]"#, 403, "*"),
    ("a wildcard over one that is not held", r#""scopes":["models:*"]"#, 403, "models:*"),
    ("a wildcard over nothing", r#""scopes":["model:*"]"#, 400, "scope"),
    ("a wildcard in the middle", r#""scopes":["mod*"]"#, 400, "scope"),
    ("a scope in upper case", r#""scopes":["MODELS:USE"]"#, 400, "scope"),
    ("a scope with a space", r#""scopes":["models:read models:use"]"#, 400, "scope"),
    ("a scope with a line break", r#""scopes":["models:use\n"]"#, 400, "scope"),
    ("a scope that is escaped", r#""scopes":["\u006dodels:use"]"#, 403, "models:use"),
    ("an empty scope", r#""scopes":[""]"#, 400, "scope"),
    ("scopes that are no list", r#""scopes":"*""#, 400, "`scopes`"),
    ("scopes within scopes", r#""scopes":[["*"]]"#, 400, "`scopes`"),
    ("a larger budget", r#""monthly_budget":50.000001"#, 400, "`monthly_budget`"),
    ("the same as a text", r#""monthly_budget":"50.000001""#, 400, "`monthly_budget`"),
    ("less than nothing", r#""monthly_budget":-1"#, 400, "`monthly_budget`"),
    ("a budget beyond numbers", r#""monthly_budget":1e308"#, 400, "`monthly_budget`"),
    ("a budget that wraps", r#""monthly_budget":18446744073709.551617"#, 400, "`monthly_budget`"),
    ("a budget of a kind", r#""monthly_budget":{"$gt":0}"#, 400, "`monthly_budget`"),
    ("a later end", r#""expiration_days":31"#, 400, "`expiration_days`"),
    ("an end far away", r#""expiration_days":4294967296"#, 400, "`expiration_days`"),
    ("an end in the past", r#""expiration_days":-1"#, 400, "`expiration_days`"),
    ("no end", r#""expiration_days":0"#, 400, "`expiration_days`"),
    ("an end that is none", r#""expiration_days":"never""#, 400, "`expiration_days`"),
    ("any address", r#""allowed_ips":[]"#, 400, "`allowed_ips`"),
    ("all of IPv4", r#""allowed_ips":["0.0.0.0/0"]"#, 400, "`allowed_ips`"),
    ("all of IPv6", r#""allowed_ips":["::/0"]"#, 400, "`allowed_ips`"),
    (
        "a neighbouring network",
        r#""allowed_ips":["127.0.0.1","128.0.0.0/8"]"#,
        400,
        "`allowed_ips`",
    ),
    ("a wider network", r#""allowed_ips":["126.0.0.0/7"]"#, 400, "`allowed_ips`"),
    ("a mapped wider network", r#""allowed_ips":["::ffff:126.0.0.0/103"]"#, 400, "`allowed_ips`"),
    ("a wider IPv6 network", r#""allowed_ips":["2001:db8::/31"]"#, 400, "`allowed_ips`"),
    ("no address", r#""allowed_ips":["localhost"]"#, 400, "`allowed_ips`"),
    ("a higher limit", r#""rate_limits":["1001/min"]"#, 400, "`rate_limits`"),
    ("a limit of a shorter window", r#""rate_limits":["17/s"]"#, 400, "`rate_limits`"),
    ("a limit of a longer window", r#""rate_limits":["1001/day"]"#, 400, "`rate_limits`"),
    ("no limit of one's own", r#""rate_limits":[]"#, 400, "`rate_limits`"),
    ("another owner", r#""owner":"acme""#, 400, "field"),
    ("another owner's id", r#""owner_id":"own_1""#, 400, "field"),
    ("another environment", r#""environment":"test""#, 400, "field"),
    ("another parent", r#""parent_id":null"#, 400, "field"),
    ("no parent", r#""parent":"""#, 400, "field"),
    ("a bundle", r#""permissions":["all"]"#, 400, "field"),
    ("an id of one's own", r#""id":"key_1""#, 400, "field"),
    ("a field in other case", r#""Scopes":["*"]"#, 400, "field"),
    ("a field twice", r#""scopes":["models:read"],"scopes":["*"]"#, 400, "twice"),
    ("a field twice, escaped", r#""scopes":[],"s\u0063opes":["*"]"#, 400, "twice"),
    ("a prototype", r#""__proto__":{"scopes":["*"]}"#, 400, "field"),
];

fn refused(answer: &Answer, status: u16, named: &str, what: &str) {
    let text = answer.text();
    assert_eq!(answer.status, status, "{what}: {text}");
    assert!(text.contains(named), "{what}: {text}");
}

#[test]
fn no_wish_for_more_than_the_maker_has_is_granted() {
    let scene = Scene::with(MAKER);
    for (what, wish, status, named) in WISHES {
        let body = format!(r#"{{"name":"child",{wish}}}"#);
        let answer = scene.ask(&scene.key, "POST", "/v1/api-keys", &body);
        refused(&answer, *status, named, what);
        let as_child = body.replace("\"name\"", "\"child_name\"");
        let as_child = as_child.replace("monthly_budget", "child_budget");
        let answer = scene.ask(&scene.key, "POST", "/v1/agents/create-child", &as_child);
        assert_eq!(answer.status / 100, 4, "{what}: {}", answer.text());
    }
    let listed = scene.ask(&scene.key, "GET", "/v1/api-keys", "").json();
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "nothing was made");
    let (child, _) =
        scene.make(&scene.key, "/v1/api-keys", r#"{"name":"child","monthly_budget":50}"#);
    assert_eq!(scene.status(&child, "/v1/models"), 200, "what is not too much is granted");
}

#[test]
fn a_body_that_is_no_plain_object_makes_nothing() {
    let scene = Scene::with(MAKER);
    let deep = "[".repeat(30_000);
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(70_000));
    for (body, status) in [
        ("", 400),
        ("null", 400),
        ("[{\"name\":\"a\"}]", 400),
        ("\"name\"", 400),
        ("{\"name\":\"a\"}{\"name\":\"b\"}", 400),
        ("name=a", 400),
        ("{\"name\":\"\"}", 400),
        ("{\"name\":\"a\\u0000b\"}", 400),
        ("{\"scopes\":[]}", 400),
        (deep.as_str(), 400),
        (long.as_str(), 413),
    ] {
        let call = scene.gateway.curl("/v1/api-keys").bearer(&scene.key).method("POST").body(body);
        assert_eq!(call.send().status, status, "{}", &body[..body.len().min(40)]);
    }
    let chunked = scene.gateway.curl("/v1/api-keys").bearer(&scene.key).method("POST");
    let chunked = chunked.header("Transfer-Encoding: chunked").body(&long).send();
    assert_eq!(chunked.status, 413);
}

#[test]
fn each_call_asks_for_its_scope() {
    let scene = Scene::with("--scope models:read");
    for (method, path, scope) in [
        ("POST", "/v1/api-keys", "keys:write"),
        ("GET", "/v1/api-keys", "keys:read"),
        ("GET", "/v1/api-keys/key_1", "keys:read"),
        ("DELETE", "/v1/api-keys/key_1", "keys:write"),
        ("POST", "/v1/agents/create-child", "agents:create"),
        ("GET", "/v1/agents", "agents:create"),
        ("DELETE", "/v1/agents/key_1/revoke", "agents:create"),
        ("GET", "/v1/balance", "billing:read"),
    ] {
        let answer = scene.ask(&scene.key, method, path, "");
        answer.is_refusal(
            403,
            "forbidden",
            &format!("API key does not have required scope: {scope}"),
        );
    }
}

#[test]
fn another_owners_key_is_answered_as_one_that_is_not_there() {
    let scene = Scene::new();
    scene.gateway.run("owner create acme");
    let theirs = scene.gateway.key("--name theirs --owner acme --scope *");
    let sibling = scene.gateway.key("--name sibling --scope *");
    let unknown = "key_00000000000000000000000000";
    let bytes = |answer: &Answer| (answer.status, answer.text());
    for (method, before, behind) in [
        ("GET", "/v1/api-keys/", ""),
        ("DELETE", "/v1/api-keys/", ""),
        ("DELETE", "/v1/agents/", "/revoke"),
    ] {
        let ask =
            |id: &str| bytes(&scene.ask(&scene.key, method, &format!("{before}{id}{behind}"), ""));
        let missing = ask(unknown);
        assert_eq!(missing.0, 404);
        for named in [theirs.id(), theirs.secret(), "x", "%25", "key_%31", "default"] {
            assert_eq!(ask(named), missing, "{method} {before}");
        }
    }
    let revoke =
        |key: &str| scene.ask(&scene.key, "DELETE", &format!("/v1/agents/{key}/revoke"), "").status;
    for own in [scene.key.id(), scene.key.secret(), sibling.id(), sibling.secret()] {
        assert_eq!(revoke(own), 404, "neither oneself nor a sibling is below");
    }
    for key in [&theirs, &sibling, &scene.key] {
        assert_eq!(scene.status(key, "/v1/models"), 200);
    }
    let listed = scene.ask(&scene.key, "GET", "/v1/api-keys?owner=acme&cursor=zzz", "").text();
    assert!(!listed.contains(theirs.id()));
    let below = scene.ask(&scene.key, "GET", "/v1/agents", "").json();
    assert_eq!(below["data"], json!([]));
}

#[test]
fn a_key_ends_nothing_above_it() {
    let scene = Scene::new();
    let (child, _) = scene.make(&scene.key, "/v1/api-keys", r#"{"name":"child"}"#);
    let (grandchild, _) = scene.make(&child, "/v1/api-keys", r#"{"name":"grandchild"}"#);
    for above in [&scene.key, &child] {
        let path = format!("/v1/api-keys/{}", above.id());
        refused(&scene.ask(&grandchild, "DELETE", &path, ""), 400, "under", "an ancestor");
        let path = format!("/v1/agents/{}/revoke", above.secret());
        assert_eq!(scene.ask(&grandchild, "DELETE", &path, "").status, 404);
    }
    let path = format!("/v1/agents/{}/revoke", grandchild.id());
    assert_eq!(scene.ask(&scene.key, "DELETE", &path, "").status, 200, "at any depth below");
}

#[test]
fn a_test_key_sees_and_ends_test_keys_alone_and_makes_only_such() {
    let scene = Scene::new();
    let test = scene.gateway.key("--name test --test --scope keys:* --scope models:read");
    let listed = scene.ask(&test, "GET", "/v1/api-keys", "").json();
    let ids: Vec<&str> =
        listed["data"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [test.id()]);
    let live = format!("/v1/api-keys/{}", scene.key.id());
    for method in ["GET", "DELETE"] {
        scene.ask(&test, method, &live, "").is_refusal(404, "not_found", "Not found");
    }
    let (child, json) = scene.make(&test, "/v1/api-keys", r#"{"name":"child"}"#);
    assert_eq!(json["environment"], "test");
    assert!(child.secret().starts_with("sk_test_"));
    assert_eq!(scene.status(&scene.key, "/v1/models"), 200);
}

#[test]
fn generations_and_children_are_bounded() {
    let scene = Scene::new();
    let body = r#"{"name":"child"}"#;
    let (one, _) = scene.make(&scene.key, "/v1/api-keys", body);
    let (two, _) = scene.make(&one, "/v1/api-keys", body);
    let (three, _) = scene.make(&two, "/v1/api-keys", body);
    refused(&scene.ask(&three, "POST", "/v1/api-keys", body), 400, "generations", "depth");
    for _ in 0..9 {
        scene.make(&two, "/v1/api-keys", body);
    }
    for key in [&scene.key, &one, &two] {
        refused(&scene.ask(key, "POST", "/v1/api-keys", body), 400, "at most 12", "number");
    }
}

#[test]
fn what_is_cut_above_is_not_to_be_got_from_below() {
    let scene = Scene::new();
    let (child, _) = scene.make(&scene.key, "/v1/api-keys", r#"{"name":"child"}"#);
    let (youngest, _) = scene.make(&child, "/v1/api-keys", r#"{"name":"youngest"}"#);
    let wish = r#"{"name":"more","scopes":["models:use"]}"#;
    scene.make(&youngest, "/v1/api-keys", wish);
    let top = scene.key.id();
    scene.gateway.run(&format!("key update {top} --scope keys:* --scope agents:create --budget 5"));
    let cut = || scene.ask(&youngest, "GET", "/v1/models", "").status == 403;
    until("the cut is in force", cut);
    refused(&scene.ask(&youngest, "POST", "/v1/api-keys", wish), 403, "models:use", "a cut scope");
    let budget = r#"{"name":"more","scopes":[],"monthly_budget":5.01}"#;
    refused(&scene.ask(&youngest, "POST", "/v1/api-keys", budget), 400, "monthly_budget", "budget");
    let (left, json) = scene.make(&youngest, "/v1/agents/create-child", r#"{"child_name":"left"}"#);
    assert_eq!(json["scopes"], json!(["agents:create", "keys:read", "keys:write"]));
    scene.gateway.run(&format!("key update {top} --allow-ip 10.0.0.0/8"));
    until("the allowlist is in force", || scene.status(&left, "/v1/me") == 403);
    scene.gateway.run(&format!("key update {top} --any-ip"));
    scene.gateway.run(&format!("key revoke {} --no-wait", child.id()));
    until("all below is refused", || {
        [&youngest, &left].iter().all(|key| scene.status(key, "/v1/me") == 401)
    });
}

#[test]
fn an_answer_is_never_replayed_to_another_key() {
    let scene = Scene::new();
    let ask = |key: &MintedKey, name: &str| {
        let field = format!("Idempotency-Key: {name}");
        let call = scene.gateway.curl("/v1/api-keys").bearer(key).method("POST").header(&field);
        call.body(r#"{"name":"child","scopes":["models:read"]}"#).send()
    };
    let mine = ask(&scene.key, "same");
    let (child, _) = super::made(&mine);
    let (other, _) =
        scene.make(&scene.key, "/v1/api-keys", r#"{"name":"other","scopes":["keys:write"]}"#);
    assert_eq!(ask(&other, "same").status, 403, "it asks for what it has not got");
    assert_eq!(ask(&child, "same").status, 403);
}

#[test]
fn a_trick_with_the_path_leads_to_no_call_without_its_checks() {
    let scene = Scene::with("--scope models:read");
    for path in ["/v1/%61pi-keys", "/v1/api-keys?x=/../me", "/v1/api%2Dkeys", "/v1/balance?"] {
        assert_eq!(scene.ask(&scene.key, "GET", path, "").status, 403, "{path}");
    }
    for path in [
        "/v1//api-keys",
        "/v1/./api-keys",
        "/v1/x/../api-keys",
        "/v1/me;/../api-keys",
        "/v1/agents/a%2Fb/revoke",
        "/v1/api-keys/a%00b",
        "/v1\\api-keys",
    ] {
        assert_eq!(scene.ask(&scene.key, "GET", path, "").status, 400, "{path}");
    }
    for (path, status) in [("/V1/api-keys", 404), ("/v1/api-keys/", 404), ("/v1/api-keys/a/b", 404)]
    {
        assert_eq!(scene.ask(&scene.key, "GET", path, "").status, status, "{path}");
    }
    let overridden = scene.gateway.curl("/v1/me").bearer(&scene.key).method("GET");
    let overridden = overridden.header("X-HTTP-Method-Override: DELETE").send();
    assert_eq!(overridden.status, 200);
}

#[test]
fn other_scopes_may_be_asked_for() {
    let origin = Origin::start();
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(CONFIG)
        .config("[self_service]\nprefix = \"/self\"\nscopes = { \"keys:read\" = \"models:use\" }")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a --scope models:use");
    let reader = gateway.key("--name b --scope models:read");
    let ask = |key: &MintedKey| gateway.curl("/self/api-keys").bearer(key).send();
    assert_eq!(ask(&key).status, 200);
    refused(&ask(&reader), 403, "models:use", "the other name");
    let listed: Value = gateway.curl("/v1/api-keys").bearer(&key).send().json();
    assert_eq!(listed, json!({"ok": true}), "the old path is a route's again");
}
