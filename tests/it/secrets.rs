//! That no secret is anywhere but where it was minted, and that the search would find it.
//!
//! Every gateway of the run is searched when its test is over; here is one that a secret is thrown
//! at from every side.

use rstest::rstest;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{MintedKey, Origin, TestGateway, TestStore, leaks, wire};

const CONFIG: &str = r#"
[scopes]
"agents:read" = "Read agent information"
[upstreams.away]
targets = ["http://127.0.0.1:1"]
[upstreams.api]
set_headers = { "authorization" = "Bearer ${UPSTREAM_TOKEN}" }
[[routes]]
path = "/**"
upstream = "api"
[[routes]]
path = "/away/**"
upstream = "away"
[[routes]]
path = "/agents"
scopes = ["agents:read"]
limits = ["1/hour"]
upstream = "api"
"#;
const UPSTREAM_TOKEN: &str = "upstream_abcdefgh0123456789ABCDEFGHabcdefgh";

#[test]
fn the_search_finds_a_secret_whole_or_cut_and_nothing_else() {
    let minted = crate::support::bulk::unknown_secret();
    let secret = minted.expose();
    leaks::note(secret);
    assert!(leaks::find(secret.as_bytes()).is_some());
    assert!(leaks::find(format!("a {secret} b").as_bytes()).is_some());
    assert!(
        leaks::find(&[b"\0\x01x".as_slice(), &secret.as_bytes()[18..32], b"\xff"].concat())
            .is_some()
    );
    assert_eq!(leaks::find(&secret.as_bytes()[..16]), None, "prefix and public id are no secret");
    assert_eq!(leaks::find(b"sk_live_ and 0123456789abcdef in plain text"), None);
}

#[rstest]
fn a_dump_of_a_store_is_one_that_would_show_a_secret(#[values(Sqlite, Postgres)] kind: Kind) {
    let origin = Origin::start();
    let Some(gateway) = gateway(kind, &origin) else { return };
    let key = gateway.key("--name findable_in_the_dump");
    let dump = gateway.store().dump();
    for text in ["findable_in_the_dump", key.id(), "$argon2id$"] {
        let text = text.as_bytes();
        assert!(dump.windows(text.len()).any(|part| part == text), "the dump is not whole");
    }
}

#[rstest]
fn no_secret_is_said_by_log_metrics_error_or_store(#[values(Sqlite, Postgres)] kind: Kind) {
    let origin = Origin::start();
    let Some(gateway) = gateway(kind, &origin) else { return };
    leaks::note(UPSTREAM_TOKEN);
    let key = gateway.key("--name a --scope agents:read");
    let revoked = gateway.key("--name b");
    gateway.run(&format!("key revoke {} --no-wait", revoked.id()));
    let rotated = gateway.mint(&format!("key rotate {} --grace 1d", key.id()));

    for key in [&key, &revoked, &rotated] {
        used_and_misused(&gateway, key);
    }
    told_about(&gateway, &key);
    assert_eq!(gateway.admin("/metrics").status, 200);
    assert!(leaks::find(gateway.access_log().as_bytes()).is_none());
}

fn gateway(kind: Kind, origin: &Origin) -> Option<TestGateway> {
    let setup = TestGateway::with(TestStore::of(kind)?).config(CONFIG);
    let setup = setup.variable("UPSTREAM_TOKEN", UPSTREAM_TOKEN);
    Some(setup.upstream("api", origin).start())
}

/// In every place of a request where a client might put it.
fn used_and_misused(gateway: &TestGateway, key: &MintedKey) {
    let secret = key.secret();
    for path in ["/a", "/agents", "/agents", "/away/a"] {
        gateway.curl(path).bearer(key).send();
        gateway.curl(path).api_key(key).send();
    }
    for path in [
        format!("/a/{secret}?key={secret}"),
        format!("/away/{secret}"),
        format!("/agents/../{secret}"),
        format!("/%2f{secret}"),
        format!("/{secret}x"),
    ] {
        gateway.curl(&path).bearer(key).send();
        gateway.curl(&path).send();
    }
    for field in [
        format!("Authorization: {secret}"),
        format!("Authorization: Basic {secret}"),
        format!("Authorization: Bearer {secret}, Bearer {secret}"),
        format!("Authorization: Bearer Bearer {secret}"),
        format!("X-API-Key: {}", &secret[..secret.len() - 1]),
        format!("X-API-Key: {secret}{secret}"),
        format!("User-Agent: {secret}"),
        format!("Cookie: key={secret}"),
    ] {
        gateway.curl("/a").header(&field).send();
    }
    for request in [
        format!("GET /a HTTP/1.1\r\nHost: {secret} x\r\n\r\n"),
        format!("{secret} /a HTTP/1.1\r\nHost: a\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\nHost: a\r\n{secret}: a\r\n b\r\n\r\n"),
        format!("GET /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\nX-API-Key: {secret}\r\n\r\n"),
        format!("{secret}\r\n\r\n"),
    ] {
        leaks::search(
            "an answer to a malformed request",
            &wire::ask(gateway.address(), request).body,
        );
    }
}

/// In every answer that commands give about it.
fn told_about(gateway: &TestGateway, key: &MintedKey) {
    let installation = gateway.installation();
    for command in [
        vec!["key", "list"],
        vec!["key", "show", key.id()],
        vec!["--json", "key", "list"],
        vec!["config", "show"],
        vec!["config", "check"],
        vec!["agent", "list"],
        vec!["owner", "list"],
        vec!["explain", "GET", "/agents", "--key-id", key.id()],
    ] {
        let printed = installation.run(&command);
        leaks::search("what a command printed", printed.as_bytes());
    }
    let explain = ["explain", "GET", "/agents", "--key-stdin"];
    let printed = installation.try_run_with(&explain, key.secret());
    leaks::search("what explain printed", printed.out.as_bytes());
    // Typed where it does not belong, it is not repeated.
    for command in [
        vec!["key", "show", key.secret()],
        vec!["key", "revoke", key.secret()],
        vec!["explain", "GET", "/agents", "--key-id", key.secret()],
    ] {
        let printed = installation.try_run(&command);
        assert_ne!(printed.code, 0);
        leaks::search("what a command printed", printed.out.as_bytes());
    }
    gateway.installation().spoil(&format!("unheard_of = \"{}\"", key.secret()));
    gateway.signal(rustix::process::Signal::HUP);
    gateway.wait_for_log("unheard_of");
    gateway.installation().spoil(&format!("unquoted = {}", key.secret()));
    let printed = installation.try_run(&["config", "check"]);
    assert_eq!((printed.code, printed.out.as_str()), (2, ""));
}
