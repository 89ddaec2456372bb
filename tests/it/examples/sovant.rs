//! Sovant: two headers, https only, two errors to the letter, keys of an owner.

use std::path::Path;

use serde_json::Value;

use crate::support::curl::Curl;
use crate::support::tls::Authority;
use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore, until, wire};

const FILE: &str = "sovant.toml";
const HOST: &str = "sovant.ai";
const MEMORY: &str = "/api/v1/memory";
const SEARCH: &str = "/api/v1/memory/search";
const BODY: &str = r#"{
"content": "User completed onboarding",
"type": "observation",
"tags": ["onboarding"]
}"#;
const CREATED: &str = r#"{"id":"mem_abc123","content":"User completed onboarding","ok":true}"#;
const FOUND: &str = r#"{"results":[{"id":"mem_abc123","score":0.95}]}"#;
const UNAUTHORIZED: &str =
    r#"{"error":{"code":"UNAUTHORIZED","message":"Invalid or missing API key"}}"#;
const RATE_LIMITED: &str = r#"{"error":{"code":"RATE_LIMITED","message":"Too many requests"}}"#;

/// The example with a certificate that a test's authority has signed.
struct Sovant {
    gateway: TestGateway,
    api: Origin,
    authority: Authority,
    owner: Value,
}

impl Sovant {
    fn start() -> Self {
        let authority = Authority::new("authority");
        authority.issue("sovant", &[HOST]);
        let api = Origin::scripted(|call| {
            let created = call.request.method == "POST";
            call.read_body()?;
            let (status, body) = if created { (201, CREATED) } else { (200, FOUND) };
            call.answer(status, &[("content-type", "application/json")], body.as_bytes())
        });
        let gateway = TestGateway::example(FILE, TestStore::sqlite())
            .config(&authority.config(&["sovant"], ""))
            .config("[server]\nredirect_http = \"127.0.0.1:0\"")
            .upstream("api", &api)
            .start();
        let owner = gateway.run("owner create alice");
        Self { gateway, api, authority, owner }
    }

    fn key(&self, name: &str) -> MintedKey {
        self.gateway.key(&format!("--owner alice --name {name}"))
    }

    /// The real curl over https, with arguments as the document has them.
    fn curl(&self, path: &str, args: &[&str]) -> Answer {
        let call = self.gateway.curl(path).args(args);
        call.https(HOST, &self.authority.file("ca.pem")).send()
    }

    fn create(&self, key: &MintedKey) -> Answer {
        let bearer = bearer(key);
        let json = "Content-Type: application/json";
        self.curl(MEMORY, &["-X", "POST", "-H", &bearer, "-H", json, "-d", BODY])
    }

    fn search(&self, key: &MintedKey) -> Answer {
        let (query, limit) = ("query=onboarding status", "limit=5");
        let data = ["--data-urlencode", query, "--data-urlencode", limit];
        self.curl(SEARCH, &[&["-G", "-H", &bearer(key)], &data[..]].concat())
    }
}

fn bearer(key: &MintedKey) -> String {
    format!("Authorization: Bearer {}", key.secret())
}

#[test]
fn the_example_lacks_nothing_but_the_certificate_that_it_names() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples").join(FILE);
    let (installation, _store) = TestGateway::with(TestStore::sqlite()).install();
    let path = path.to_str().expect("the path is text");
    let printed = installation.try_run(&["config", "check", "--config", path]);
    let errors: Vec<&str> =
        printed.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!((printed.code, errors.len()), (2, 1), "{}", printed.err);
    assert!(errors[0].contains("/etc/keygate/sovant.pem cannot be read"), "{errors:?}");
}

#[test]
fn both_headers_are_accepted() {
    let sovant = Sovant::start();
    let key = sovant.key("backend");
    assert!(key.secret().starts_with("sk_live_"));
    for field in [bearer(&key), format!("x-sovant-api-key: {}", key.secret())] {
        let answer = sovant.curl(MEMORY, &["-H", &field]);
        assert_eq!((answer.status, answer.text().as_str()), (200, FOUND), "{field}");
        let received = sovant.api.last();
        assert_eq!((received.method.as_str(), received.target.as_str()), ("GET", MEMORY));
        assert_eq!(received.header("x-forwarded-proto"), Some("https"));
        assert_eq!(received.header("authorization"), None);
        assert_eq!(received.header("x-sovant-api-key"), None);
    }
    // Another product's header is not asked.
    let other = sovant.curl(MEMORY, &["-H", &format!("X-API-Key: {}", key.secret())]);
    assert_eq!((other.status, other.text().as_str()), (401, UNAUTHORIZED));
}

#[test]
fn a_memory_is_created() {
    let sovant = Sovant::start();
    let answer = sovant.create(&sovant.key("backend"));
    assert_eq!((answer.status, answer.text().as_str()), (201, CREATED));
    let received = sovant.api.last();
    assert_eq!((received.method.as_str(), received.target.as_str()), ("POST", MEMORY));
    assert_eq!(received.header("content-type"), Some("application/json"));
    assert_eq!(String::from_utf8_lossy(&received.body), BODY);
}

#[test]
fn memories_are_searched_and_the_query_comes_through_as_curl_encodes_it() {
    let sovant = Sovant::start();
    let answer = sovant.search(&sovant.key("backend"));
    assert_eq!((answer.status, answer.text().as_str()), (200, FOUND));
    let received = sovant.api.last();
    // A space is `+` to some versions of curl and `%20` to others.
    let targets =
        ["+", "%20"].map(|space| format!("{SEARCH}?query=onboarding{space}status&limit=5"));
    assert!(targets.contains(&received.target), "{}", received.target);
    assert_eq!(received.method, "GET");
}

#[test]
fn the_documented_401_is_answered_to_the_letter() {
    let sovant = Sovant::start();
    let revoked = sovant.key("revoked");
    sovant.gateway.run(&format!("key revoke {}", revoked.id()));
    until("the key is revoked", || sovant.create(&revoked).status == 401);
    for field in [
        "Authorization: Bearer sk_live_your_api_key",
        "x-sovant-api-key: sk_live_your_api_key",
        "X-Nothing: 1",
        &bearer(&revoked),
    ] {
        let answer = sovant.curl(MEMORY, &["-H", field]);
        assert_eq!((answer.status, answer.text().as_str()), (401, UNAUTHORIZED));
        answer.says("content-type", "application/json");
    }
    assert_eq!(sovant.api.count(), 0);
}

#[test]
fn the_documented_429_is_answered_to_the_letter_with_the_headers_that_tell_of_the_limit() {
    let sovant = Sovant::start();
    let key = sovant.gateway.key("--owner alice --name small --limit 2/hour");
    let first = sovant.search(&key);
    assert_eq!(first.status, 200);
    first.says("x-ratelimit-limit", "2").says("x-ratelimit-remaining", "1");
    let reset = first.number("x-ratelimit-reset");
    assert!(reset > 1_700_000_000, "Unix seconds: {reset}");
    sovant.search(&key).says("x-ratelimit-remaining", "0");

    let refused = sovant.search(&key);
    assert_eq!((refused.status, refused.text().as_str()), (429, RATE_LIMITED));
    refused.says("content-type", "application/json");
    refused.says("x-ratelimit-limit", "2").says("x-ratelimit-remaining", "0");
    assert!(refused.number("x-ratelimit-reset") >= reset);
    assert!(refused.number("retry-after") > 0);
    assert_eq!(sovant.api.count(), 2);
}

#[test]
fn memories_belong_to_the_owner_of_the_key() {
    let sovant = Sovant::start();
    sovant.gateway.run("owner create bob");
    let keys = [
        sovant.key("laptop"),
        sovant.key("server"),
        sovant.gateway.key("--owner bob --name laptop"),
    ];
    let owners = keys.each_ref().map(|key| {
        assert_eq!(sovant.create(key).status, 201);
        sovant.api.last().header("x-auth-owner").expect("an owner").to_owned()
    });
    assert_eq!(owners[0], owners[1]);
    assert_ne!(owners[0], owners[2]);
    sovant.gateway.run("owner disable bob");
    until("bob's keys stop", || sovant.create(&keys[2]).status == 401);
    assert_eq!(sovant.create(&keys[0]).status, 201);
}

#[test]
fn a_key_is_shown_once_listed_by_its_name_and_dead_when_it_is_revoked() {
    let sovant = Sovant::start();
    let installation = sovant.gateway.installation();
    let create = ["key", "create", "--owner", "alice", "--name", "my laptop", "--quiet"];
    let printed = installation.run(&create);
    let secret = printed.trim_end();
    crate::support::leaks::note(secret);
    assert_eq!(printed, format!("{secret}\n"));

    // What `run` gives is searched for every secret.
    let listed = sovant.gateway.run("key list --owner alice");
    let keys = listed["data"].as_array().expect("a list");
    assert_eq!((keys.len(), &keys[0]["name"]), (1, &"my laptop".into()));
    assert_eq!((&keys[0]["status"], &keys[0]["owner"]), (&"active".into(), &sovant.owner["id"]));
    let id = keys[0]["id"].as_str().expect("an id");
    assert_eq!(sovant.gateway.run(&format!("key show {id}"))["id"], id);

    let field = format!("Authorization: Bearer {secret}");
    assert_eq!(sovant.curl(MEMORY, &["-H", &field]).status, 200);
    sovant.gateway.run(&format!("key revoke {id}"));
    until("the key is dead", || sovant.curl(MEMORY, &["-H", &field]).status == 401);
    let active = sovant.gateway.run("key list --owner alice --status active");
    assert_eq!(active["data"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_key_is_rotated_without_a_moment_when_none_works() {
    let sovant = Sovant::start();
    let old = sovant.key("backend");
    assert_eq!(sovant.create(&old).status, 201);
    let new = sovant.gateway.mint(&format!("key rotate {} --grace 7d", old.id()));
    until("the new secret works", || sovant.create(&new).status == 201);
    let answer = sovant.create(&old);
    assert_eq!(answer.status, 201);
    assert!(answer.header("x-api-key-rotate-by").is_some() && answer.header("sunset").is_some());
}

#[test]
fn in_clear_there_is_nothing_but_the_way_to_https_and_a_key_that_came_so_is_reported() {
    let sovant = Sovant::start();
    let key = sovant.key("careless");
    let (clear, port) = (sovant.gateway.redirect_address(), sovant.gateway.address().port());
    let exposed = || sovant.gateway.metrics().total("keygate_keys_exposed_total");
    let host = format!("Host: {HOST}");
    let create = Curl::new(clear, MEMORY).method("POST").header(&host).bearer(&key).body(BODY);
    let answer = create.send();
    assert_eq!((answer.status, answer.body.as_slice()), (308, &b""[..]));
    answer.says("location", &format!("https://{HOST}:{port}{MEMORY}"));
    assert_eq!(exposed(), 1);

    // By its id, and as everywhere never as itself.
    let hint = key.json["secrets"][0]["hint"].as_str().expect("a hint");
    let public_id = hint.strip_prefix("sk_live_").expect("a prefix");
    sovant.gateway.wait_for_log("sent in clear");
    sovant.gateway.wait_for_log(public_id);

    let field = format!("x-sovant-api-key: {}", key.secret());
    let search = format!("{SEARCH}?query=a");
    let answer = Curl::new(clear, &search).header(&host).header(&field).send();
    assert_eq!(answer.status, 308);
    answer.says("location", &format!("https://{HOST}:{port}{search}"));
    assert_eq!(exposed(), 2);

    let nowhere = format!("GET {MEMORY} HTTP/1.1\r\n{field}\r\n\r\n");
    assert_eq!(wire::ask(clear, &nowhere).status, 403, "it names no host");
    // Where TLS is spoken nothing in clear is answered at all.
    assert!(!wire::raw(sovant.gateway.address(), &nowhere).starts_with(b"HTTP"));
    assert_eq!(sovant.api.count(), 0);
}
