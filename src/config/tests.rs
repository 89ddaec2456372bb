//! What the whole module promises: every problem at once, at its place, and no secret anywhere.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use http::Method;
use proptest::prelude::*;
use rstest::rstest;

use super::shape::{Setting, Shape};
use super::*;
use crate::domain::{Limit, Reason};

const REFERENCE: &str = include_str!("../../config/keygate.toml");
const DOCUMENT: &str = include_str!("../../docs/configuration.md");

/// A route and its upstream on two lines, to set things on.
const API: &str = "upstreams.api.targets = [\"http://127.0.0.1:9000\"]\n";

fn environment() -> Environment {
    Environment::of(&[("TOKEN", "hush-hush"), ("CODE", "odd")])
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

#[rstest]
#[case("listen = 1", "1:1: there is no setting `listen` | did you mean `server.listen`?")]
#[case("zzz = 1", "1:1: there is no setting `zzz` | known here: `server`, `admin`")]
#[case("server = 1", "1:10: `server` must be a table, not a whole number")]
#[case("[[server]]", "1:1: `server` must be a table, not a list")]
#[case("routes = 1", "1:10: `routes` must be a list of tables, not a whole number")]
#[case("routes = [1]", "1:11: each entry of `routes` must be a table, not a whole number")]
#[case(
    "keys.argon2 = { memry = 1 }",
    "1:17: there is no setting `keys.argon2.memry` | did you mean `memory`?"
)]
#[case("keys.\"x y\" = 1", "1:6: there is no setting `keys.\"x y\"` | known here")]
#[case("'äöü'.b = 1", "1:1: there is no setting `\"äöü\"`")]
#[case(
    "# äöü\nkeys = { checksum = 'ä', x-y = 1 }",
    "2:21: `keys.checksum` must be true or false, not a string"
)]
#[case("a = ", "1:5: not valid TOML: ")]
#[case("[a\n", "1:3: not valid TOML: ")]
#[case("a = 1\na = 2", "2:1: not valid TOML: duplicate key")]
fn what_the_file_may_not_look_like(#[case] text: &str, #[case] expected: &str) {
    let found = problems(text);
    assert!(found.iter().any(|line| line.starts_with(expected)), "{found:#?}");
}

#[rstest]
#[case("server.listen = []", "`server.listen` must not be empty")]
#[case(
    "server.listen = [\":80\"]",
    "each entry of `server.listen` must be an IP address with a port, such as"
)]
#[case("server.listen = ['1.1.1.1:1', '1.1.1.1:1']", "this address is listened on twice")]
#[case("server.listen = ['127.0.0.1:8081']", "this address is listened on twice")]
#[case("server.workers = 2000", "`server.workers` must be a whole number from 0 to 1024")]
#[case("server.header_timeout = '0s'", "`server.header_timeout` must be a duration")]
#[case("server.header_timeout = '10 s'", "`server.header_timeout` must be a duration")]
#[case(
    "server.max_body = '1MB'",
    "`server.max_body` must be a size such as \"32KiB\" or \"1MiB\", or a number of bytes"
)]
#[case("server.max_body = -1", "`server.max_body` must be a size")]
#[case("server.max_header_bytes = 17", "`server.max_header_bytes` must be a size")]
#[case(
    "server.trusted_proxies = ['a']",
    "each entry of `server.trusted_proxies` must be an IP address or a CIDR range"
)]
#[case("admin.listen = 'localhost:1'", "`admin.listen` must be an IP address with a port")]
#[case(
    "store.url = 'mysql://hush'",
    "`store.url` must be \"sqlite://PATH\" without parameters, or"
)]
#[case("store.url = 'sqlite://'", "`store.url` must be")]
#[case("cache.capacity = 0", "`cache.capacity` must be a whole number from 1 to 1000000000")]
#[case("keys.live_prefix = ''", "`keys.live_prefix` must not be empty")]
#[case("keys.live_prefix = 'a b'", "`keys.live_prefix` must be at most 32 letters")]
#[case("keys.live_prefix = 'sk_test_'", "`keys.live_prefix` and `keys.test_prefix` are equal")]
#[case(
    "keys = { live_prefix = 'sk_', test_prefix = 'sk_t' }",
    "one of `keys.live_prefix` and `keys.test_prefix` goes on"
)]
#[case("keys.headers = ['a b']", "`a b` is no header's name")]
#[case("keys.headers = ['host']", "`host` can't carry a secret")]
#[case("keys.headers = ['x-a', 'X-A']", "`X-A` is in `keys.headers` twice")]
#[case("keys.argon2.memory = 10000", "`keys.argon2.memory` must be a whole number of KiB")]
#[case(
    "keys.argon2 = { memory = '8KiB', parallelism = 4 }",
    "`keys.argon2.memory` must be at least 32KiB"
)]
#[case(
    "limits.per_key = ['60/minute']",
    "each entry of `limits.per_key` must be a limit such as \"60/min\""
)]
#[case("limits.per_key = ['1/s', '2/s']", "`limits.per_key` has two limits for one window, s")]
#[case("scopes.'a b' = 'x'", "`a b` is no name for a scope")]
#[case("scopes.a = { implies = ['b'] }", "there is no scope `b` in `[scopes]`")]
#[case("scopes.a = 1", "`scopes.a` must be a string or a table, not a whole number")]
#[case(
    "permissions.p = ['a']",
    "there is no scope `a` in `[scopes]` | name the scopes that there are"
)]
#[case("permissions.p = ['a*']", "`a*` is no scope")]
#[case("permissions.'p q' = ['*']", "a permission has a name of")]
#[case("upstreams.'' = { targets = ['http://a'] }", "an upstream has a name of")]
#[case(
    "upstreams.a = { targets = ['https://a'] }",
    "a target with `https://` is not supported yet"
)]
#[case("upstreams.a = { targets = ['http://hush@a'] }", "a target must be \"http://HOST\" or")]
#[case(
    "upstreams.a = { targets = ['http://a'], retries = 11 }",
    "`upstreams.a.retries` must be a whole number from 0 to 10"
)]
#[case(
    "upstreams.a = { targets = ['http://a'], set_headers = { te = '' } }",
    "`te` is the gateway's own to set"
)]
#[case(
    "upstreams.a = { targets = ['http://a'], set_headers = { x-auth-key-id = '' } }",
    "`x-auth-key-id` is the gateway's own to set"
)]
#[case(
    "upstreams.a = { targets = ['http://a'], set_headers = { a = \"hush\\n\" } }",
    "the value of `a` has a character"
)]
#[case(
    "upstreams.a = { targets = ['http://a'], set_headers = { a = 1 } }",
    "`upstreams.a.set_headers.a` must be a string"
)]
#[case("identity.header_prefix = 'X-Auth-'", "`identity.header_prefix` must be lower-case")]
#[case("identity.header_prefix = 'x-auth'", "`identity.header_prefix` must be lower-case")]
#[case("identity.header_prefix = 'x-'", "`identity.header_prefix` must not be \"x-\"")]
#[case(
    "errors.missing_keys = {}",
    "there is no reason `missing_keys` | did you mean `missing_key`?"
)]
#[case(
    "errors.missing_key.status = 200",
    "`errors.missing_key.status` must be a whole number from 400 to 599"
)]
#[case(
    "errors.missing_key.message = '{scope}'",
    "`errors.missing_key.message` has a placeholder `{scope}` that is not filled in | the message of missing_key has no placeholders"
)]
#[case(
    "errors.rate_limited.message = '{limits}'",
    "`errors.rate_limited.message` has a placeholder `{limits}` that is not filled in | filled in here: `{limit}`, `{retry_after}`"
)]
#[case("access_log.output = ''", "`access_log.output` must be")]
#[case("access_log.format = 'text'", "`access_log.format` must be \"json\"")]
#[case("access_log.sample = 1.5", "`access_log.sample` must be a number from 0 to 1")]
#[case("access_log.sample = nan", "`access_log.sample` must be a number from 0 to 1")]
#[case("self_service.prefix = 'v1'", "the path `v1` does not begin with `/`")]
fn what_a_setting_may_not_be(#[case] text: &str, #[case] expected: &str) {
    let found = problems(text);
    assert_eq!(found.len(), 1, "{found:#?}");
    let message = found[0].split_once(": ").unwrap().1;
    assert!(message.starts_with(expected), "{message}");
    assert!(!found[0].contains("hush"), "{}", found[0]);
}

#[rstest]
#[case("", "3:1: `routes.path` is missing")]
#[case("path = '/a/'\nstrip_prefix = '/a/'", "6:16: the path `/a/` ends with `/`")]
#[case(
    "path = '/ab'\nstrip_prefix = '/a'",
    "6:16: `strip_prefix` must be whole segments that the path `/ab` begins with"
)]
#[case(
    "path = '/{a}/b'\nstrip_prefix = '/{a}'",
    "6:16: the path `/{a}` has a segment that is not literal"
)]
#[case(
    "path = '/a'\nmethods = ['get']",
    "6:12: `get` is not in upper case, as methods are | write `GET`"
)]
#[case("path = '/a'\nmethods = ['TRACE']", "6:12: `TRACE` is refused on every route")]
#[case("path = '/a'\nmethods = ['A B']", "6:12: `A B` is no method")]
#[case("path = '/a'\nmethods = ['GET', 'GET']", "6:19: `GET` is in `methods` twice")]
#[case("path = '/a'\nmethods = []", "6:11: `routes.methods` must not be empty")]
#[case(
    "path = '/a'\nscopes = ['agent:read']",
    "6:11: there is no scope `agent:read` in `[scopes]` | did you mean `agents:read`?"
)]
#[case("path = '/a'\nscopes = ['agents:*']", "6:11: there is no scope `agents:*`")]
#[case("path = '/a'\nany_scope = []", "6:13: `routes.any_scope` must not be empty")]
#[case(
    "path = '/a'\nscopes = []\npublic = true",
    "7:10: a route has one of `scopes`, `any_scope` and `public`, not several"
)]
#[case("path = '/a'\nscopes = []\nany_scope = ['*']", "7:13: a route has one of")]
#[case(
    "path = '/a'\nlimits = ['1/s', '1/s']",
    "6:18: `routes.limits` has two limits for one window, s"
)]
#[case("path = '/a'\ntimeout = '0'", "6:11: `routes.timeout` must be a duration")]
#[case(
    "path = '/a'\ncost = '0.0000001'",
    "6:8: `routes.cost` must be an amount such as \"0.002\", with at most six decimals"
)]
#[case(
    "path = '/a/{x}'\n[[routes]]\nupstream = 'api'\npath = '/a/{y}'",
    "8:8: the route at line 5 has this path for all methods already"
)]
#[case(
    "path = '/a'\nmethods = ['GET', 'PUT']\n[[routes]]\nupstream = 'api'\npath = '/a'\nmethods = ['PUT']",
    "9:8: the route at line 5 has this path for `PUT` already"
)]
fn what_a_route_may_not_be(#[case] route: &str, #[case] expected: &str) {
    let found = problems(&with_route(route));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(expected), "{found:#?}");
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

#[rstest]
#[case("server.trusted_proxies", "['10.0.0.0/8']", "[]")]
#[case("server.proxy_protocol", "true", "false")]
#[case("server.tls", "{ cert = 'a', key = 'b' }", "{}")]
#[case("server.redirect_http", "'0.0.0.0:80'", "''")]
#[case("cache.key_file", "'/k'", "''")]
#[case("cluster.redis", "'redis://:hush@r'", "''")]
#[case("keys.enforce_rotation", "true", "false")]
#[case("upstreams.api.health", "{ path = '/h' }", "{}")]
#[case("upstreams.api.http2", "true", "false")]
#[case("routes.cost", "0.002", "")]
#[case("routes.cost_header", "'x-cost'", "''")]
#[case("routes.forward_trailers", "true", "false")]
#[case("routes.cors", "{ origins = ['https://a'] }", "{ origins = [] }")]
#[case("identity.jwt.enabled", "true", "false")]
#[case("self_service.enabled", "true", "false")]
#[case("telemetry.otlp_endpoint", "'http://o'", "''")]
#[case("webhooks.allow_private_networks", "true", "false")]
#[case("webhooks.ca_file", "'/c'", "''")]
#[case("webhooks.endpoints", "[{ url = 'https://w', secret = 'hush' }]", "[]")]
fn a_setting_that_is_not_built_is_refused_unless_it_is_off(
    #[case] name: &str,
    #[case] on: &str,
    #[case] off: &str,
) {
    let text = |value: &str| match name.strip_prefix("routes.") {
        Some(name) => with_route(&format!("path = '/a'\n{name} = {value}")),
        None => format!("{API}{name} = {value}"),
    };
    let found = problems(&text(on));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].ends_with(&format!(": `{name}` is not supported yet")), "{found:#?}");
    if !off.is_empty() {
        good(&text(off));
    }
}

#[test]
fn every_setting_that_is_not_built_is_in_the_table_above() {
    assert_eq!(settings_that("", settings::SETTINGS, &|setting| !setting.built).len(), 19);
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

#[test]
fn the_reference_file_says_what_holds_without_it() {
    assert_eq!(good(REFERENCE).show_toml(), good("").show_toml());
}

#[test]
fn the_reference_file_holds_with_every_example_of_what_is_built() {
    let later = settings_that("", settings::SETTINGS, &|setting| !setting.built);
    let mut text = String::new();
    let mut section = String::new();
    for line in REFERENCE.lines() {
        let example = line.strip_prefix("# ").filter(|line| {
            let header = line.starts_with('[') && line.ends_with(']');
            header || line.split_once(" = ").is_some_and(|(name, _)| !name.trim().contains(' '))
        });
        let line = example.unwrap_or(line);
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).replace("upstreams.api", "upstreams.NAME");
        }
        let name = line.split(" = ").next().unwrap_or_default();
        let path =
            if line.starts_with('[') { section.clone() } else { format!("{section}.{name}") };
        if example.is_some() && later.iter().any(|later| path.starts_with(later)) {
            continue;
        }
        if section != "webhooks.endpoints" {
            text.push_str(line);
            text.push('\n');
        }
    }
    let config = good(&text).config;
    assert_eq!(config.routes.len(), 3);
    assert_eq!(config.upstreams[0].sandbox.len(), 1);
    assert_eq!(config.errors.len(), 3);
    assert_eq!(config.permissions.len(), 2);
}

#[test]
fn the_reference_file_has_every_setting() {
    for path in settings_that("", settings::SETTINGS, &|_| true) {
        let name = path.rsplit('.').next().unwrap();
        let begins = |line: &str| {
            let line = line.trim_start_matches("# ");
            line.starts_with(&format!("{name} =")) || line.starts_with(&format!("[{path}]"))
        };
        let within = format!("{name} = ");
        assert!(
            REFERENCE.lines().any(|line| begins(line) || line.contains(&within))
                || REFERENCE.contains(&format!("[[{path}]]"))
                || REFERENCE.contains(&format!("[{name}.")),
            "config/keygate.toml does not mention {path}"
        );
    }
}

/// The paths of settings, with `NAME` for names that the operator chooses.
fn settings_that(
    path: &str,
    settings: &[Setting],
    wanted: &dyn Fn(&Setting) -> bool,
) -> Vec<String> {
    let mut paths = Vec::new();
    for setting in settings {
        let path = format!("{path}{}", setting.name);
        let (within, inner) = match &setting.shape {
            Shape::Named { of: Shape::Table(inner), .. } => (format!("{path}.NAME."), *inner),
            Shape::Table(inner) | Shape::Tables(inner) => (format!("{path}."), *inner),
            _ => (String::new(), &[][..]),
        };
        if wanted(setting) {
            paths.push(path);
        }
        paths.extend(settings_that(&within, inner, wanted));
    }
    paths
}

#[test]
fn the_document_is_made_from_the_table_of_settings() {
    let made = reference::markdown();
    if Environment::process().get("KEYGATE_UPDATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        std::fs::write(file, &made).unwrap();
    } else {
        assert!(
            made == DOCUMENT,
            "docs/configuration.md is stale: run `KEYGATE_UPDATE=1 cargo test --lib config::`"
        );
    }
}

#[test]
fn the_schema_knows_every_setting_and_nothing_else() {
    let schema = reference::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["server"]["properties"]["workers"]["default"], 0);
    let route = &schema["properties"]["routes"]["items"];
    assert_eq!(route["required"], serde_json::json!(["path", "upstream"]));
    assert_eq!(route["additionalProperties"], false);
    let upstream = &schema["properties"]["upstreams"]["additionalProperties"];
    assert_eq!(upstream["properties"]["targets"]["minItems"], 1);
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
        let known: Vec<&str> = WITH_SECRETS.lines().chain(REFERENCE.lines()).collect();
        let lines = order.iter().map(|at| known[at % known.len()].trim_start_matches("# "));
        let mut text: String = lines.collect::<Vec<_>>().join("\n");
        let at = text.floor_char_boundary(cut);
        if at < text.len() {
            text.remove(at);
        }
        let _ = load_text(&text);
    }
}
