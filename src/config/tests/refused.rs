//! Tables of what is refused: a snippet, and the problem it is.

use rstest::rstest;

use super::{API, good, problems, with_route};

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
#[case("server.tls = { cert = 'a' }", "`server.tls.cert` needs its `server.tls.key`")]
#[case(
    "server.redirect_http = '0.0.0.0:80'",
    "`server.redirect_http` needs `server.tls`, to which it sends"
)]
#[case(
    "server.redirect_http = ':80'\nserver.tls = { cert = 'a', key = 'b' }",
    "`server.redirect_http` must be an IP address with a port"
)]
#[case("server.tls = { key = 'a' }", "`server.tls.key` needs its `server.tls.cert`")]
#[case("server.tls = { client_ca = 'a' }", "`server.tls` needs a certificate")]
#[case(
    "server.tls = { certificates = [{ cert = 'a' }] }",
    "`server.tls.certificates.key` is missing"
)]
#[case(
    "server.proxy_protocol = true",
    "`server.proxy_protocol` needs `server.trusted_proxies`, from which alone it is taken"
)]
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
#[case("cluster.redis = 'http://:hush@r'", "`cluster.redis` must be \"redis://")]
#[case("cluster.redis = 'redis://:hush@r?a=b'", "`cluster.redis` must be")]
#[case("cluster.redis_ca = 'a'", "`cluster.redis_ca` needs `cluster.redis`")]
#[case(
    "cluster = { redis = 'redis://:hush@r', redis_ca = 'a' }",
    "`cluster.redis_ca` needs a `cluster.redis` with `rediss`"
)]
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
    "upstreams.a = { targets = ['http://a'], health = { path = 'h' } }",
    "the path `h` must begin with `/`"
)]
#[case(
    "upstreams.a = { targets = ['http://a'], health = { path = '/h', interval = '0s' } }",
    "`upstreams.a.health.interval` must be a duration"
)]
#[case(
    "upstreams.a = { targets = ['https://a'], tls = { cert = 'Cargo.toml' } }",
    "`cert` and `key` are given together"
)]
#[case(
    "upstreams.a = { targets = ['https://a'], tls = { server_name = 'a b' } }",
    "`a b` is no host's name or address"
)]
#[case("upstreams.a = { targets = ['http://hush@a'] }", "a target must be \"http://HOST\", ")]
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
#[case(
    "self_service.scopes = { 'keys:wirte' = 'a' }",
    "no call of the self-service API asks for `keys:wirte` | did you mean `keys:write`?"
)]
#[case("self_service.scopes = { 'keys:write' = 'a b' }", "`a b` is no name for a scope")]
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
#[case("path = '/a'\ncost = '1000000.01'", "6:8: a request costs 1000000 at most")]
#[case("path = '/a'\ncost_header = 'x cost'", "6:15: `x cost` is no name of a header")]
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

#[rstest]
#[case("identity.jwt.enabled", "true", "false")]
#[case("telemetry.otlp_endpoint", "'http://o'", "''")]
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

#[rstest]
#[case("['https://a', '*']", "5:27: `*` stands for all origins, so it stands alone")]
#[case("['a.example']", "5:20: `a.example` is no origin")]
#[case("['https://A.example:443/']", "5:20: `https://A.example:443/` is not how browsers")]
fn what_an_origin_may_not_be(#[case] origins: &str, #[case] expected: &str) {
    let found = problems(&with_route(&format!("path = '/a'\ncors = {{ origins = {origins} }}")));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains(&expected[expected.find(' ').unwrap()..]), "{found:#?}");
}

#[rstest]
#[case("url = 'http://w'", "`webhooks.endpoints.url`: it must begin with `https://`")]
#[case("url = 'https://me:hush@w'", "`webhooks.endpoints.url`: it must hold no user")]
#[case("url = 'w'", "`webhooks.endpoints.url`: it must be \"https://HOST\"")]
#[case("url = 'https://w'\nevents = ['key.made']", "there is no event `key.made`")]
#[case("url = 'https://w'\nevents = []", "`webhooks.endpoints.events` must not be empty")]
#[case(
    "url = 'https://w'\n[[webhooks.endpoints]]\nsecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'\nurl = 'https://w'",
    "another endpoint has this URL already"
)]
fn what_an_endpoint_may_not_be(#[case] endpoint: &str, #[case] expected: &str) {
    let secret = "secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'";
    let found = problems(&format!("[[webhooks.endpoints]]\n{secret}\n{endpoint}"));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains(expected), "{found:#?}");
    assert!(!found[0].contains("hush"), "{found:#?}");
}

#[test]
fn a_secret_that_signs_nothing_is_refused_and_not_repeated() {
    let url = "url = 'https://w'";
    for secret in ["hushhush", "whsec_hush", "whsec_aHVzaGh1c2g="] {
        let found = problems(&format!("[[webhooks.endpoints]]\n{url}\nsecret = '{secret}'"));
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].contains("must be `whsec_` and base64"), "{found:#?}");
        assert!(!format!("{found:?}").contains(secret), "{found:#?}");
    }
    good(
        "[webhooks]\nallow_private_networks = true\n[[webhooks.endpoints]]\n\
         url = 'http://127.0.0.1:9/x?y=z'\nsecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'",
    );
}
