//! What the matcher decided on is byte for byte what the upstream received, for paths, queries and
//! methods in any spelling: the real binary beside the library's own steps.

use std::cell::Cell;
use std::fmt::Write as _;

use http::Method;
use keygate::proxy::head;
use keygate::proxy::matcher::{Match, Matcher};
use keygate::proxy::path::canonical;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore, Wire};

const CASES: u32 = 4000;
/// Methods and path of each route; none are all of them.
const ROUTES: &[(&[&str], &str)] = &[
    (&[], "/a/**"),
    (&["GET", "POST"], "/a/{x}"),
    (&["GET"], "/a/b"),
    (&["OPTIONS", "PUT"], "/a/b"),
    (&["DELETE"], "/a/b/{x}/c"),
    (&[], "/a/a:b"),
    (&[], "/{x}/"),
    (&["GET"], "/"),
    (&["GET", "PURGE"], "/b/**"),
    (&[], STRIPPED),
];
const STRIPPED: &str = "/inner/**";
const PREFIX: &str = "/inner";

/// Pieces of paths: what is common, and what has brought proxies and upstreams apart.
const PIECES: &[&str] = &[
    "/", "/", "/", "/", "/a", "/b", "a", "b", "c", "/a/b", "/inner", ":", "%61", "%62", "%3A",
    "%3a", "%2F", "%2f", "%5C", "\\", ".", "..", "/..", "/../", "/./", "%2e", "%2E%2e", "/..;/",
    ";", ";x=1", "//", "%25", "%252e", "%252F", "%00", "%0a", "%7f", "%C0%AE", "%c3%a9", "\u{e9}",
    "%20", " ", "+", "%2B", "#", "{x}", "|", "\"", "<", "^", "[", "]", "'", "@", "*", "%", "%z",
    "~", "-", "$&", "...",
];
const QUERIES: &[&str] =
    &["?", "?", "a=b", "&", "/../", "%2f", "%41", "\"", "{}", "#", "<", "\\", "//", "+", "%", "'"];
const METHODS: &[&str] =
    &["GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get", "PURGE"];

#[derive(Clone, Debug)]
struct Sent {
    method: &'static str,
    authority: &'static str,
    path: String,
    query: String,
}

impl Sent {
    fn head(&self, key: &MintedKey) -> String {
        let Self { method, authority, path, query } = self;
        let secret = key.secret();
        format!(
            "{method} {authority}{path}{query} HTTP/1.1\r\nHost: a\r\nX-API-Key: {secret}\r\n\r\n"
        )
    }
}

fn sent() -> impl Strategy<Value = Sent> {
    let words = |words, most| {
        proptest::collection::vec(select(words), 0..most)
            .prop_map(|words: Vec<&str>| words.concat())
    };
    let path =
        (select(vec!["/", "/", "/a", "/a/", "/a/b", "/inner/", "/b/", "*"]), words(PIECES, 5))
            .prop_map(|(begin, rest)| [begin, &rest].concat());
    let query = prop_oneof![Just(String::new()), words(QUERIES, 4).prop_map(|q| format!("?{q}"))];
    let authority = select(vec!["", "", "", "http://api.example:80"]);
    (select(METHODS), authority, path, query).prop_map(|(method, authority, path, query)| {
        // Behind an authority a path may be missing, and is `/` then.
        let path = if path == "/" && !authority.is_empty() { String::new() } else { path };
        Sent { method, authority, path, query }
    })
}

/// Each route goes to an upstream of its own, which is one origin for all and told by a header.
fn gateway(origin: &Origin) -> TestGateway {
    let mut config = "[limits]\nper_key = [\"10000000/min\"]\n".to_owned();
    for (number, (methods, path)) in ROUTES.iter().enumerate() {
        let methods =
            if methods.is_empty() { String::new() } else { format!("methods = {methods:?}") };
        let strip = if *path == STRIPPED { PREFIX } else { "" };
        let _ = write!(
            config,
            "[[routes]]\npath = \"{path}\"\n{methods}\nstrip_prefix = \"{strip}\"\n\
             upstream = \"to-{number}\"\n\
             [upstreams.to-{number}]\ntargets = [\"http://{}\"]\n\
             set_headers = {{ \"x-route\" = \"{number}\" }}\n",
            origin.address()
        );
    }
    TestGateway::with(TestStore::sqlite()).config(&config).start()
}

#[test]
fn what_the_matcher_decided_on_is_byte_for_byte_what_the_upstream_received() {
    let origin = Origin::start();
    let gateway = gateway(&origin);
    let key = gateway.key("--name a");
    let methods: Vec<Vec<Method>> =
        ROUTES.iter().map(|(methods, _)| methods.iter().map(|m| method(m)).collect()).collect();
    let routes = ROUTES.iter().zip(&methods).map(|((_, path), methods)| (*path, &methods[..]));
    let matcher = Matcher::new(routes).expect("the routes are good");

    let (kept, forwarded) = (Cell::new(None), Cell::new(0));
    // A failure is shrunk, and what is left of it printed with the panic.
    let config = Config { failure_persistence: None, ..Config::with_cases(CASES) };
    let result = TestRunner::new(config).run(&sent(), |sent| {
        let before = origin.count();
        let head = sent.head(&key);
        let mut wire: Wire = kept.take().unwrap_or_else(|| Wire::connect(gateway.address()));
        wire.send(&head);
        let answer = answer(&mut wire, sent.method);
        if answer.header("connection") != Some("close") {
            kept.set(Some(wire));
        }
        let expected = expected(&matcher, &sent, &head);
        prop_assert_eq!(answer.status, expected.0, "{}", answer.text());
        let Some((route, target)) = expected.1 else {
            prop_assert_eq!(origin.count(), before, "what is refused reaches nobody");
            return Ok(());
        };
        let route = route.to_string();
        prop_assert_eq!(origin.count(), before + 1, "one request is one request");
        let received = origin.last();
        prop_assert_eq!(received.header("x-route"), Some(&*route));
        prop_assert_eq!((received.method.as_str(), received.target), (sent.method, target));
        forwarded.set(forwarded.get() + 1);
        Ok(())
    });
    result.unwrap_or_else(|failure| panic!("{failure}"));
    assert!(forwarded.get() > CASES / 10, "enough of them were good: {forwarded:?}");
}

/// The status, and for what is let through the route and the target that the upstream gets.
fn expected(matcher: &Matcher, sent: &Sent, head: &str) -> (u16, Option<(usize, String)>) {
    if head::inspect(head.as_bytes()).is_err() {
        return (400, None);
    }
    let Ok(path) = canonical(if sent.path.is_empty() { "/" } else { &sent.path }) else {
        return (400, None);
    };
    match matcher.find(&method(sent.method), &path) {
        Match::Found(route) => {
            let strip = if ROUTES[route].1 == STRIPPED { PREFIX.len() } else { 0 };
            (200, Some((route, [&path[strip..], &sent.query].concat())))
        }
        Match::NotFound => (404, None),
        Match::MethodNotAllowed(_) => (405, None),
    }
}

fn answer(wire: &mut Wire, method: &str) -> Answer {
    // The answer to HEAD says a length and has no body.
    if method == "HEAD" { wire.answer_head().0 } else { wire.answer() }
}

fn method(name: &str) -> Method {
    Method::from_bytes(name.as_bytes()).expect("a method")
}
