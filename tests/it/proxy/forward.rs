//! What the upstream gets of a request, and the client of an answer.

use super::{OPEN, open};
use crate::support::origin::Received;
use crate::support::{MintedKey, Origin, TestGateway, TestStore, Wire, wire};

/// Headers that no honest client sends, in spellings that an upstream might fold together.
const FORGED: &str = "X-Auth-Key-Id: forged\r\n\
    x-auth-key-id: again\r\n\
    X-AUTH-OWNER: forged\r\n\
    x_auth_key_id: forged\r\n\
    X-Auth_Scopes: *\r\n\
    X_AUTH-ENV: live\r\n\
    x-auth-parent: forged\r\n\
    x-auth-assertion: forged\r\n\
    X-Auth-Anything: forged\r\n\
    Connection: close, x-auth-key-id, X-Auth-Owner, x-forwarded-for, x-request-id\r\n";

fn with_key(key: &MintedKey, fields: &str) -> String {
    let secret = key.secret();
    format!("GET /a HTTP/1.1\r\nHost: api.example\r\nX-API-Key: {secret}\r\n{fields}\r\n")
}

fn identity(request: &Received) -> Vec<(&str, &str)> {
    let folded = |name: &str| name.replace('_', "-").starts_with("x-auth-");
    let fields = request.fields.0.iter().filter(|(name, _)| folded(name));
    fields.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn the_upstream_learns_who_calls_and_no_client_can_say_it() {
    let origin = Origin::start();
    let gateway = open(&origin);
    gateway.run("owner create acme");
    let key = gateway.key("--owner acme --name backend --scope agents:read --scope agents:write");
    for fields in ["Connection: close\r\n", FORGED] {
        let answer = wire::ask(gateway.address(), with_key(&key, fields));
        assert_eq!(answer.status, 200);
        let request = origin.last();
        let mut learnt = identity(&request);
        learnt.sort_unstable();
        let owner = request.header("x-auth-owner").expect("an owner");
        assert!(owner.starts_with("own_"), "{owner}");
        assert_eq!(
            learnt,
            [
                ("x-auth-env", "live"),
                ("x-auth-key-id", key.id()),
                ("x-auth-key-name", "backend"),
                ("x-auth-owner", owner),
                ("x-auth-scopes", "agents:read agents:write"),
            ]
        );
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
        assert!(request.header("x-request-id").is_some());
    }
}

#[test]
fn on_a_public_route_nobody_is_anybody() {
    let origin = Origin::start();
    let public = "[[routes]]\npath = \"/a\"\npublic = true\nupstream = \"api\"\n\
        underscore_headers = true";
    let gateway =
        TestGateway::with(TestStore::sqlite()).config(public).upstream("api", &origin).start();
    let request = format!("GET /a HTTP/1.1\r\nHost: a\r\nfree_name: 1\r\n{FORGED}\r\n");
    assert_eq!(wire::ask(gateway.address(), request).status, 200);
    assert_eq!(identity(&origin.last()), []);
    assert_eq!(origin.last().header("free_name"), Some("1"));
}

#[test]
fn the_identity_prefix_is_the_operators_to_choose() {
    let origin = Origin::start();
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config("[identity]\nheader_prefix = \"x-caller-\"")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a");
    let forged = "X-Caller-Key-Id: forged\r\nx_caller_owner: forged\r\nX-Auth-Key-Id: theirs\r\n";
    wire::ask(gateway.address(), with_key(&key, forged));
    assert_eq!(origin.last().fields.all("x-caller-key-id"), [key.id()]);
    assert_eq!(origin.last().fields.all("x-caller-owner"), ["default"]);
    assert_eq!(origin.last().header("x-auth-key-id"), Some("theirs"));
}

#[test]
fn hop_by_hop_headers_end_at_the_gateway_both_ways() {
    let origin = Origin::scripted(|call| {
        let fields = [
            ("connection", "X-Internal, keep-alive"),
            ("x-internal", "a"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("upgrade", "h2c"),
            ("x-public", "b"),
        ];
        call.answer(200, &fields, b"")
    });
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let fields = "Connection: keep-alive, X-Private\r\nX-Private: a\r\nKeep-Alive: timeout=5\r\n\
        TE: trailers\r\nTrailer: X-End\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n\
        Proxy-Connection: keep-alive\r\nProxy-Authorization: Basic dTpw\r\nX-Public: b\r\n";
    let answer = wire::ask(gateway.address(), with_key(&key, fields));

    let request = origin.last();
    // The gateway's own: it reads trailers, and this client does too.
    assert_eq!(
        (request.header("connection"), request.header("te")),
        (Some("te"), Some("trailers"))
    );
    for name in [
        "x-private",
        "keep-alive",
        "trailer",
        "upgrade",
        "http2-settings",
        "proxy-connection",
        "proxy-authorization",
    ] {
        assert_eq!(request.header(name), None, "{name}");
    }
    assert_eq!(request.header("x-public"), Some("b"));
    for name in ["connection", "x-internal", "keep-alive", "proxy-authenticate", "upgrade"] {
        answer.lacks(name);
    }
    answer.says("x-public", "b");
}

#[test]
fn what_could_override_the_method_or_an_underscore_in_a_name_is_dropped() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let fields = "X-HTTP-Method-Override: DELETE\r\nX-HTTP-Method: DELETE\r\n\
        X-Method-Override: DELETE\r\nunder_score: 1\r\nContent_Length: 5\r\nX-Kept: 1\r\n";
    assert_eq!(wire::ask(gateway.address(), with_key(&key, fields)).status, 200);
    let request = origin.last();
    for name in [
        "x-http-method-override",
        "x-http-method",
        "x-method-override",
        "under_score",
        "content_length",
    ] {
        assert_eq!(request.header(name), None, "{name}");
    }
    assert_eq!(request.header("x-kept"), Some("1"));
}

#[test]
fn a_well_formed_request_id_is_kept_and_any_other_made_anew() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let ask = |field: &str| {
        let answer = wire::ask(gateway.address(), with_key(&key, field));
        let id = answer.header("x-request-id").expect("a request id").to_owned();
        assert_eq!(origin.last().fields.all("x-request-id"), [id.as_str()]);
        id
    };
    let longest = "x".repeat(64);
    for kept in ["my-id_1.2", longest.as_str()] {
        assert_eq!(ask(&format!("X-Request-Id: {kept}\r\n")), kept);
    }
    let mut made = vec![ask("")];
    for wrong in ["a b", "a/b", "a\"b", &"x".repeat(65)] {
        made.push(ask(&format!("X-Request-Id: {wrong}\r\n")));
    }
    let form = |id: &String| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric());
    assert!(made.iter().all(form), "{made:?}");
    made.sort();
    made.dedup();
    assert_eq!(made.len(), 5, "each is made for its request");
}

#[test]
fn a_client_says_of_its_own_way_only_what_the_gateway_knows() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let fields = "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-For: 203.0.113.8\r\n\
        X-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.example\r\n\
        X_Forwarded_For: 203.0.113.9\r\nForwarded: for=203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\n\
        Traceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\n";
    wire::ask(gateway.address(), with_key(&key, fields));
    let request = origin.last();
    assert_eq!(request.fields.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(request.fields.all("x-forwarded-proto"), ["http"]);
    assert_eq!(request.fields.all("x-forwarded-host"), ["api.example"]);
    for name in ["x_forwarded_for", "forwarded", "x-real-ip"] {
        assert_eq!(request.header(name), None, "{name}");
    }
    let trace = request.header("traceparent").expect("a traceparent");
    let parts: Vec<&str> = trace.split('-').collect();
    let lengths: Vec<usize> = parts.iter().map(|part| part.len()).collect();
    assert_eq!((parts[0], lengths), ("00", vec![2, 32, 16, 2]), "{trace}");
    assert!(!trace.contains("1111111111"), "{trace}");
}

#[test]
fn set_headers_take_the_place_of_the_clients() {
    let origin = Origin::start();
    let set =
        r#"set_headers = { "authorization" = "Bearer ${UPSTREAM_TOKEN}", "x-tier" = "gold" }"#;
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config(&format!("[upstreams.api]\n{set}"))
        .variable("UPSTREAM_TOKEN", "upstream-token")
        .upstream("api", &origin)
        .start();
    let key = gateway.key("--name a");
    let call = gateway.curl("/a").header("Authorization: Basic dTpw").header("X-Tier: none");
    assert_eq!(call.api_key(&key).send().status, 200);
    assert_eq!(origin.last().fields.all("authorization"), ["Bearer upstream-token"]);
    assert_eq!(origin.last().fields.all("x-tier"), ["gold"]);
}

#[test]
fn a_body_goes_through_byte_for_byte_however_it_is_framed() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let body: Vec<u8> = (0..100_000u32).map(|n| (n % 251) as u8).collect();
    let head = format!("POST /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n", key.secret());
    let whole =
        [format!("{head}Content-Length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
    let mut pieces = format!("{head}Transfer-Encoding: chunked\r\n\r\n").into_bytes();
    for piece in body.chunks(999) {
        pieces.extend(format!("{:X};extension=dropped\r\n", piece.len()).bytes());
        pieces.extend(piece);
        pieces.extend(b"\r\n");
    }
    pieces.extend(b"0\r\nX-Auth-Key-Id: trailer\r\n\r\n");
    for request in [whole, pieces] {
        assert_eq!(wire::ask(gateway.address(), request).status, 200);
        assert!(origin.last().body == body, "the body was changed");
        assert!(origin.last().header("transfer-encoding").is_none_or(|te| te == "chunked"));
    }
    let bytes = origin.bytes();
    let trailer = b"trailer".as_slice();
    assert!(!bytes.windows(trailer.len()).any(|part| part == trailer), "trailers are dropped");
}

#[test]
fn the_answer_is_the_upstreams_own() {
    let origin = Origin::scripted(|call| {
        let fields = [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("x-odd", "caf\u{e9}")];
        call.answer(418, &fields, b"short and stout")
    });
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let answer = gateway.curl("/a").bearer(&key).send();
    assert_eq!((answer.status, answer.text().as_str()), (418, "short and stout"));
    assert_eq!(answer.fields.all("set-cookie"), ["a=1", "b=2"]);
    answer.says("x-odd", "caf\u{e9}").says("content-length", "15");
}

#[test]
fn head_has_the_headers_of_get_and_no_body() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let head = format!("HEAD /a HTTP/1.1\r\nHost: a\r\nX-API-Key: {}\r\n\r\n", key.secret());
    let mut wire = Wire::connect(gateway.address());
    wire.send(&head);
    let (answer, _) = wire.answer_head();
    assert_eq!(answer.status, 200);
    answer.says("content-length", "11");
    // Had there been a body, this would not be an answer's head.
    wire.send(&head);
    assert_eq!(wire.answer_head().0.status, 200);
    assert_eq!(origin.last().method, "HEAD");
}

#[test]
fn connections_are_kept_on_both_sides() {
    let origin = Origin::start();
    let gateway = open(&origin);
    let key = gateway.key("--name a");
    let mut wire = Wire::connect(gateway.address());
    for _ in 0..10 {
        wire.send(with_key(&key, ""));
        assert_eq!(wire.answer().status, 200);
    }
    assert_eq!((origin.count(), origin.connections()), (10, 1));
}
