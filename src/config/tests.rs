//! What the whole module promises: every problem at once, at its place, and no secret anywhere.

mod documents;
mod refused;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use http::Method;
use proptest::prelude::*;

use super::*;
use crate::domain::{Limit, Reason};

/// An upstream, for settings that need one.
const API: &str = "upstreams.api.targets = [\"http://127.0.0.1:9000\"]\n";

fn environment() -> Environment {
    Environment::of(&[
        ("TOKEN", "hush-hush"),
        ("CODE", "odd"),
        ("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    ])
}

fn load_text(text: &str) -> Result<LoadedConfig, Vec<Problem>> {
    parse(text, Path::new("k.toml"), &environment())
}

fn good(text: &str) -> LoadedConfig {
    load_text(text).unwrap_or_else(|problems| panic!("{text}\n{}", lines(&problems).join("\n")))
}

/// `LINE:COL: message`, and the hint behind ` | `.
fn lines(problems: &[Problem]) -> Vec<String> {
    let line = |problem: &Problem| {
        let text = problem.to_string();
        let mut line = text.strip_prefix("k.toml:").unwrap_or(&text).to_owned();
        if let Some(hint) = &problem.hint {
            write!(line, " | {hint}").unwrap();
        }
        line
    };
    problems.iter().map(line).collect()
}

fn problems(text: &str) -> Vec<String> {
    lines(&load_text(text).expect_err(text))
}

#[test]
fn an_empty_file_is_a_configuration_of_defaults() {
    let loaded = good("");
    let config = &loaded.config;
    assert_eq!(config.server.listen, ["0.0.0.0:8080".parse().unwrap()]);
    assert!(config.server.workers > 0);
    assert_eq!(config.server.max_header_bytes, 32 * 1024);
    assert_eq!(config.store, StoreLocation::Sqlite("keygate.db".into()));
    assert_eq!(config.cache.stale_if_down, Duration::from_mins(15));
    assert_eq!(config.keys.format.test_prefix.as_deref(), Some("sk_test_"));
    assert_eq!(config.keys.headers, ["authorization", "x-api-key"]);
    assert_eq!(config.keys.rotation_grace, Duration::from_hours(7 * 24));
    assert_eq!(config.keys.argon2, crate::key::hash::Argon2Strength::default());
    let limits: Vec<String> = config.limits.per_key.iter().map(Limit::to_string).collect();
    assert_eq!(limits, ["60/min", "1000/hour"]);
    assert_eq!(config.identity_prefix, "x-auth-");
    assert_eq!(config.access_log.output, LogOutput::Stdout);
    let warnings = ["1:1: there are no routes, so that every request is answered 404"];
    assert_eq!(lines(&loaded.warnings), warnings);
}

#[test]
fn everything_that_is_built_arrives_in_the_configuration() {
    let config = good(
        r#"
        [server]
        listen = ["127.0.0.1:0", "[::1]:8080"]
        max_body = 17
        [limits]
        per_key = ["5/day", "1/s"]
        failed_auth_per_ip = ""
        [keys]
        test_prefix = ""
        argon2 = { memory = "64KiB", iterations = 1 }
        [scopes]
        "agents:read" = "Read"
        "agents:write" = { implies = ["agents:read"] }
        [permissions]
        all = ["agents:*", "*"]
        [upstreams.b]
        targets = ["http://b"]
        [upstreams.a]
        targets = ["http://a:1", "http://[::1]:2"]
        sandbox = ["http://s"]
        set_headers = { "Authorization" = "Bearer ${TOKEN}" }
        [[routes]]
        path = "/v1/{id}/**"
        methods = ["GET", "PROPFIND"]
        any_scope = ["agents:read"]
        upstream = "b"
        strip_prefix = "/v1"
        max_body = "1MiB"
        timeout = "5m"
        limits = ["10/min"]
        allow_test_keys = false
        [[routes]]
        path = "/open"
        public = true
        upstream = "a"
        [errors.rate_limited]
        message = "{limit} {retry_after} {x y}"
        [access_log]
        output = "/var/log/keygate.log"
        sample = 0
        "#,
    )
    .config;
    assert_eq!(config.server.max_body, 17);
    assert_eq!(config.limits.per_key[0].to_string(), "1/s");
    assert_eq!(config.limits.failed_auth_per_ip, None);
    assert_eq!(config.keys.format.test_prefix, None);
    assert_eq!(config.keys.argon2.parallelism, 1);
    assert_eq!(config.permissions["all"], ["agents:*", "*"]);
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    let upstream = &config.upstreams[0];
    assert_eq!(upstream.targets[1].host, "::1");
    assert_eq!(upstream.set_headers[0].1, "Bearer hush-hush");
    let route = &config.routes[0];
    assert_eq!(route.methods, [Method::GET, Method::from_bytes(b"PROPFIND").unwrap()]);
    assert_eq!(route.requirement, Requirement::Any(vec!["agents:read".to_owned()]));
    assert_eq!((route.upstream, route.strip_prefix.as_str()), (1, "/v1"));
    assert_eq!(route.timeout, Some(Duration::from_mins(5)));
    assert!(!route.allow_test_keys);
    assert_eq!(config.routes[1].requirement, Requirement::Public);
    assert!(config.errors[&Reason::RateLimited].status.is_none());
    assert!(config.access_log.sample.abs() < f64::EPSILON);
}

#[test]
fn all_problems_come_at_once_in_the_order_of_the_file() {
    let text = r#"[server]
lisen = ["0.0.0.0:80"]
workers = "four"
header_timeout = 10
[upstreams.api]
tragets = []
[[routes]]
path = "v1"
upstream = "ape"
[cash]
"#;
    assert_eq!(
        problems(text),
        [
            "2:1: there is no setting `server.lisen` | did you mean `listen`?",
            "3:11: `server.workers` must be a whole number from 0 to 1024, not a string",
            "4:18: `server.header_timeout` must be a duration such as \"500ms\", \"30s\", \"5m\", \
             \"1h\" or \"7d\", longer than zero, not a whole number \
             | write the number with its unit, as a string",
            "5:1: `upstreams.api.targets` is missing",
            "6:1: there is no setting `upstreams.api.tragets` | did you mean `targets`?",
            "8:8: the path `v1` does not begin with `/`",
            "9:12: there is no upstream `ape` | did you mean `api`?",
            "10:2: there is no setting `cash` | did you mean `cache`?",
        ]
    );
}

/// A configuration with one route; its own settings begin with the fifth line.
fn with_route(route: &str) -> String {
    format!("{API}scopes.'agents:read' = ''\n[[routes]]\nupstream = 'api'\n{route}\n")
}

#[test]
fn a_route_for_some_methods_stands_beside_one_for_all_others() {
    let text = "path = '/a'\nmethods = ['GET']\n[[routes]]\nupstream = 'api'\npath = '/a'";
    assert_eq!(good(&with_route(text)).config.routes.len(), 2);
}

#[test]
fn a_variable_that_is_missing_is_a_problem_where_it_is_named() {
    let text = "access_log.output = '${NOT_THERE}'\nstore.url = '${'";
    let expected = [
        "1:21: `access_log.output` asks for the environment's variable `NOT_THERE`, which is not \
         set | set `NOT_THERE` where keygate is started",
        "2:13: `store.url` has `${` without a variable's name and `}` behind it \
         | write `${NAME}`, or `$${` for the characters themselves",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn what_came_out_of_a_variable_is_never_named() {
    let text = "upstreams.api.targets = ['${TOKEN}']\nroutes = [{ path = '${TOKEN}', upstream = \
                '${TOKEN}', scopes = ['${TOKEN}'], methods = ['${TOKEN}'] }]\nkeys.headers = ['a \
                ${TOKEN}']\nserver.header_timeout = '${TOKEN}'";
    let found = problems(text).join("\n");
    assert!(found.lines().count() >= 7, "{found}");
    assert!(!found.contains("hush"), "{found}");
}

#[test]
fn of_a_text_that_is_sent_no_variable_is_filled_in_and_nothing_is_said_against_it() {
    let text = "[store]\nurl = \"${URL}\"\n[cache]\nttl = \"${TTL}\"\ncapacity = 0\n\
                [upstreams.api]\ntargets = [\"${TARGET}\"]\n[cash]\n";
    let Checked { problems, warnings } = check_text(text);
    let told = lines(&problems);
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains(":5:12: ") && told[1].contains(":8:2: "), "{told:?}");
    let told = lines(&warnings);
    for variable in ["URL", "TTL", "TARGET"] {
        let words = format!("`{variable}`, which is not filled in");
        assert!(told.iter().any(|warning| warning.contains(&words)), "{variable}: {told:?}");
    }
    assert_eq!(check_text("[cache]\nkey_file = \"/nowhere/at/all\"\n").problems, []);
}

#[test]
fn the_environment_wins_over_the_file() {
    let environment = Environment::of(&[
        ("DATABASE_URL", "postgres://u:hush@h/d"),
        ("RATE_LIMIT_PER_MIN", "7"),
        ("RATE_LIMIT_PER_HOUR", ""),
    ]);
    let text = "limits.per_key = ['5/day', '60/min']\nstore.url = 'sqlite://x.db'";
    let loaded = parse(text, Path::new("k"), &environment).unwrap();
    assert_eq!(loaded.config.store, StoreLocation::Postgres("postgres://u:hush@h/d".to_owned()));
    let limits: Vec<String> = loaded.config.limits.per_key.iter().map(Limit::to_string).collect();
    assert_eq!(limits, ["7/min", "5/day"]);
    let shown = loaded.show_toml();
    assert!(shown.contains("url = \"postgres://u:***@h/d\""), "{shown}");
    assert!(!shown.contains("hush") && !format!("{loaded:?}").contains("hush"));
}

#[test]
fn a_bad_variable_is_a_problem_that_names_it_and_not_its_value() {
    let variables =
        [("DATABASE_URL", "hush"), ("RATE_LIMIT_PER_MIN", "hush"), ("RATE_LIMIT_PER_HOUR", "0")];
    let text = "\n[limits]\nper_key = []\n";
    let found = parse(text, Path::new("k.toml"), &Environment::of(&variables)).unwrap_err();
    assert_eq!(
        lines(&found),
        [
            "1:1: the environment's variable `DATABASE_URL` must be \"sqlite://PATH\" without \
             parameters, or \"postgres://USER:PASSWORD@HOST/NAME\"",
            "3:11: the environment's variable `RATE_LIMIT_PER_MIN` must be a whole number from 1 \
             to 4294967295",
            "3:11: the environment's variable `RATE_LIMIT_PER_HOUR` must be a whole number from 1 \
             to 4294967295",
        ]
    );
}

const WITH_SECRETS: &str = r#"
store.url = "postgres://u:hush@h/d"
[scopes]
"a:b" = "with \" and ä and $${X}"
[upstreams.api]
targets = ["http://a"]
set_headers = { "x-plain" = "hush", "x-env" = "${TOKEN}" }
[[routes]]
path = "/a"
scopes = ["a:b"]
upstream = "api"
timeout = "120s"
[errors]
missing_key = { code = "${CODE}" }
"#;

#[test]
fn what_is_shown_has_no_secret_and_can_be_loaded_again() {
    let loaded = good(WITH_SECRETS);
    let shown = loaded.show_toml();
    assert!(!shown.contains("hush") && !shown.contains("odd"), "{shown}");
    assert!(!format!("{loaded:?}").contains("hush"));
    assert!(!loaded.show_json().to_string().contains("hush"));
    for line in [
        "url = \"postgres://u:***@h/d\"",
        "set_headers = { x-env = \"***\", x-plain = \"***\" }",
        "missing_key = { code = \"***\" }",
        "timeout = \"2m\"",
        "header_timeout = \"10s\"",
        "[upstreams.api]",
        "[[routes]]",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}\n{shown}");
    }
    let again = good(&shown);
    assert_eq!(again.show_toml(), shown);
    assert_eq!(again.hash(), loaded.hash());
    assert_eq!(again.config.routes, loaded.config.routes);
    assert_eq!(again.config.scopes, loaded.config.scopes);
}

#[test]
fn the_hash_tells_configurations_apart_and_not_their_spelling() {
    assert_eq!(good("").hash(), good("[cache]\nttl = '60000ms'").hash());
    assert_ne!(good("").hash(), good("[cache]\nttl = '61s'").hash());
}

#[test]
fn what_is_allowed_and_hardly_meant_is_a_warning() {
    let text = "[upstreams.b]\ntargets = ['http://b']\n[upstreams.api]\ntargets = \
                ['http://a']\n[[routes]]\npath = '/a'\npublic = true\nupstream = 'api'\nlimits = ['1/s']";
    assert_eq!(
        lines(&good(text).warnings),
        [
            "1:12: no route goes to the upstream `b`",
            "9:10: a public route's limits count nothing, because they are counted for each key",
        ]
    );
}

#[test]
fn a_route_whose_paths_others_take_is_warned_of() {
    let text = "path = '/a/**'\n[[routes]]\nupstream = 'api'\npath = '/a/{x}'\n[[routes]]\n\
                upstream = 'api'\npath = '/a/{y}/**'";
    let expected = "5:8: no request comes here: other routes take its paths of one segment and \
                    those of more";
    assert_eq!(lines(&good(&with_route(text)).warnings), [expected]);
}

#[test]
fn a_route_whose_requests_self_service_takes_is_warned_of() {
    let warned = |setting: &str, path: &str, methods: &str| {
        let text = format!("path = '{path}'\nmethods = [{methods}]");
        lines(&good(&format!("{setting}\n{}", with_route(&text))).warnings)
    };
    let wins = |call: &str| {
        format!(
            "GET here is the self-service API's own call `{call}`, which wins; another \
             `self_service.prefix` leaves this route its requests"
        )
    };
    for (path, call) in [
        ("/v1/me", "/v1/me"),
        ("/v1/api-keys/{x}", "/v1/api-keys/{id}"),
        ("/v1/api-keys/mine", "/v1/api-keys/{id}"),
    ] {
        let found = warned("self_service.enabled = true", path, "'PUT', 'GET'");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(&wins(call)), "{found:?}");
    }
    for (setting, path, methods) in [
        ("self_service.enabled = false", "/v1/me", "'GET'"),
        ("self_service.enabled = true", "/v1/me", "'POST'"),
        ("self_service.enabled = true", "/v1/me/x", "'GET'"),
        ("self_service.enabled = true", "/v1/**", "'GET'"),
        ("self_service = { enabled = true, prefix = '/self' }", "/v1/me", "'GET'"),
    ] {
        assert_eq!(warned(setting, path, methods), [""; 0], "{setting} {path}");
    }
}

#[test]
fn the_scopes_of_self_service_are_in_the_catalogue_and_described_by_the_operator_first() {
    let names = |text: &str| {
        let config = good(text).config;
        config.scopes.entries().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names("[self_service]\nenabled = false"), [""; 0]);
    let all = ["agents:create", "billing:read", "keys:read", "keys:write"];
    assert_eq!(names("[self_service]\nenabled = true"), all);
    let renamed =
        "[self_service]\nenabled = true\nscopes = { 'keys:write' = 'k' }\n[scopes]\nk = 'K'";
    assert_eq!(names(renamed), ["agents:create", "billing:read", "k", "keys:read"]);
    let config = good(renamed).config;
    assert_eq!(config.scopes.entries().find(|(name, _)| *name == "k").unwrap().1.description, "K");
}

#[test]
fn a_file_that_cannot_be_read_is_a_problem_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("k.toml");
    let found = load(&file, &environment()).unwrap_err();
    assert!(found[0].to_string().contains("k.toml:1:1: the file cannot be read: "));
    std::fs::write(&file, b"# \xc3\xa4\nx = \"\xff\"").unwrap();
    let found = load(&file, &environment()).unwrap_err();
    assert!(found[0].to_string().ends_with("k.toml:2:6: not valid TOML: not UTF-8"));
}

#[test]
fn a_named_file_is_taken_as_it_is() {
    assert_eq!(locate(Some(Path::new("x/y.toml"))).unwrap(), Path::new("x/y.toml"));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = load_text(&text);
    }

    /// Lines of a good file in any order, with pieces cut out, come closer to the checks.
    #[test]
    fn no_broken_configuration_makes_the_checks_panic(
        order in proptest::collection::vec(0usize..1_000, 0..40),
        cut in 0usize..500,
    ) {
        let known: Vec<&str> = WITH_SECRETS.lines().chain(documents::REFERENCE.lines()).collect();
        let lines = order.iter().map(|at| known[at % known.len()].trim_start_matches("# "));
        let mut text: String = lines.collect::<Vec<_>>().join("\n");
        let at = text.floor_char_boundary(cut);
        if at < text.len() {
            text.remove(at);
        }
        let _ = load_text(&text);
    }
}
