//! The one table of all settings.
//!
//! What may stand in the file, in which form, what it is when it does not, and what it does. The
//! reader, the known names, the JSON Schema and the documents are all made from it.

mod services;
mod traffic;

use services::{ALERTS, SELF_SERVICE, TELEMETRY, WEBHOOKS};
use traffic::{ERROR, IDENTITY, ROUTE, SCOPE, UPSTREAM};

use super::shape::Kind::{
    Address, Bool, Choice, Duration, Integer, Limit, LimitOrNone, Network, Number, Size, Text, Url,
};
use super::shape::Shape::{Described, List, Named, One, Table, Tables};
use super::shape::{Kind, Setting};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// A duration that may not be zero.
const LONGER_THAN_ZERO: Kind = Duration { zero: false };
/// A duration that may be zero.
const ANY_DURATION: Kind = Duration { zero: true };

/// The file's top level.
pub(super) const SETTINGS: &[Setting] = &[
    Setting::section("server", SERVER, "The data plane: where clients connect."),
    Setting::section("admin", ADMIN, "The admin plane: health, metrics, admin API."),
    Setting::section("store", STORE, "Where keys and owners are kept."),
    Setting::section(
        "usage",
        USAGE,
        "What is kept of answered requests: the usage journal, the books.",
    ),
    Setting::section("cache", CACHE, "The key table: what of the store is held in memory."),
    Setting::section("cluster", CLUSTER, "What several instances share beside the store."),
    Setting::section(
        "keys",
        KEYS,
        "How secrets look, where they are taken from, how they are kept.",
    ),
    Setting::section("limits", LIMITS, "Rate limits that hold for every key."),
    Setting::default(
        "scopes",
        Named { key: "SCOPE", of: &Described { text: "description", settings: SCOPE } },
        "{}",
        "The catalogue of scopes: a name with a description, or with a table. \
         Minting a key with a scope that is not here is refused.",
    ),
    Setting::default(
        "permissions",
        Named { key: "NAME", of: &List { of: Text, least: 1 } },
        "{}",
        "Names for bundles of scopes, for `key create --permission NAME`. \
         A bundle may hold `prefix:*` and `*`.",
    ),
    Setting::default(
        "upstreams",
        Named { key: "NAME", of: &Table(UPSTREAM) },
        "{}",
        "The APIs behind the gateway, each by a name that routes use.",
    ),
    Setting::optional(
        "routes",
        Tables(ROUTE),
        "Which requests go where and what they need. The most specific path wins, whatever the \
         order. Without a route every request is answered 404.",
    ),
    Setting::section("identity", IDENTITY, "What upstreams learn of the key that made a request."),
    Setting::section("self_service", SELF_SERVICE, "The API by which keys manage keys."),
    Setting::default(
        "errors",
        Named { key: "REASON", of: &Table(ERROR) },
        "{}",
        "What refusals answer, each reason by its name. What is not given stays as it is by default.",
    ),
    Setting::section("access_log", ACCESS_LOG, "One line of JSON a request."),
    Setting::section("telemetry", TELEMETRY, "Traces."),
    Setting::section("alerts", ALERTS, "Events that must be asked for."),
    Setting::section("webhooks", WEBHOOKS, "Events sent to the operator's own services."),
];

const SERVER: &[Setting] = &[
    Setting::default(
        "listen",
        List { of: Address, least: 1 },
        r#"["0.0.0.0:8080"]"#,
        "Addresses that clients connect to. Port 0 takes a free one.",
    ),
    Setting::default(
        "workers",
        One(Integer { least: 0, most: 1024 }),
        "0",
        "Worker threads, each with its own connections; 0 is one per core.",
    ),
    Setting::default(
        "trusted_proxies",
        List { of: Network, least: 0 },
        "[]",
        "Proxies whose `X-Forwarded-For` is believed, from the right up to the first address that \
         is not one of these; `Forwarded` where there is none. Without any, the client is who \
         connects.",
    ),
    Setting::default(
        "proxy_protocol",
        One(Bool),
        "false",
        "Whether trusted proxies begin every connection with PROXY v1 or v2, and are cut off where \
         they don't; others' connections never do.",
    ),
    Setting::optional(
        "tls",
        Table(TLS),
        "The data plane then speaks TLS 1.2 and 1.3. Files are read again when they change, without \
         dropping a connection; paths are relative to the working directory.",
    ),
    Setting::default(
        "redirect_http",
        One(Text),
        r#""""#,
        "Address of a plain listener that answers nothing but 308 to https, on the port of the \
         first `listen`, and reports the keys that come in clear. Empty for none.",
    ),
    Setting::default(
        "header_timeout",
        One(LONGER_THAN_ZERO),
        r#""10s""#,
        "How long a request's head may take to arrive.",
    ),
    Setting::default(
        "idle_timeout",
        One(LONGER_THAN_ZERO),
        r#""75s""#,
        "How long a client's connection may stay without a request, or without taking its answer.",
    ),
    Setting::default(
        "drain_timeout",
        One(ANY_DURATION),
        r#""30s""#,
        "How long running requests have to finish after SIGTERM.",
    ),
    Setting::default(
        "max_header_bytes",
        One(Size { least: KIB, most: MIB }),
        r#""32KiB""#,
        "How long a request's head may be.",
    ),
    Setting::default(
        "max_body",
        One(ANY_SIZE),
        r#""10MiB""#,
        "How long a request's body may be, where its route says nothing else.",
    ),
    Setting::default(
        "max_connections",
        One(Integer { least: 1, most: 10_000_000 }),
        "10000",
        "Client connections at once, over all workers. One address, unless it is a trusted proxy's, \
         has at most a quarter of them, and never less than 100.",
    ),
];

const ANY_SIZE: Kind = Size { least: 0, most: i64::MAX as u64 };

const TLS: &[Setting] = &[
    Setting::default("cert", One(Text), r#""""#, "Certificate and its chain, a PEM file."),
    Setting::default("key", One(Text), r#""""#, "Its private key, a PEM file, not encrypted."),
    Setting::default(
        "certificates",
        Tables(CERTIFICATE),
        "[]",
        "Several: each client gets the first that is for the host it names, or else the first of \
         all. `cert` and `key` come before them.",
    ),
    Setting::default(
        "client_ca",
        One(Text),
        r#""""#,
        "Authorities, a PEM file: every client then needs a certificate of one of them. Empty for \
         none.",
    ),
];

const CERTIFICATE: &[Setting] = &[
    Setting::required("cert", One(Text), "Certificate and its chain, a PEM file."),
    Setting::required("key", One(Text), "Its private key, a PEM file, not encrypted."),
];

const ADMIN: &[Setting] = &[
    Setting::default(
        "listen",
        One(Address),
        r#""127.0.0.1:8081""#,
        "Address of health, metrics, admin API and dashboard. Keep it away from clients.",
    ),
    Setting::optional(
        "tls",
        Table(ADMIN_TLS),
        "TLS towards operators; reloaded when the files change. Needed where `admin.listen` is \
         anything but a loopback address.",
    ),
    Setting::default(
        "allow_plain_http",
        One(Bool),
        "false",
        "Whether admin tokens may come in clear from other machines: `admin.listen` may then be any \
         address without `admin.tls`. Only where nobody else can listen in, such as behind a proxy \
         that ends TLS on the same machine.",
    ),
    Setting::default(
        "failed_sign_in_per_ip",
        One(LimitOrNone),
        r#""10/min""#,
        "Refused admin tokens, sessions and set-up codes of one address; past it, whatever is not \
         already known to be good gets 429 from there.",
    ),
    Setting::default(
        "keep_refusals",
        One(Integer { least: 0, most: 100_000 }),
        "1000",
        "How many of the last refusals each instance holds in memory, to be explained by their \
         request ids.",
    ),
];

const ADMIN_TLS: &[Setting] = &[
    Setting::required("cert", One(Text), "Certificate and its chain, a PEM file."),
    Setting::required("key", One(Text), "Its private key, a PEM file, not encrypted."),
    Setting::default(
        "client_ca",
        One(Text),
        r#""""#,
        "Authorities of client certificates, a PEM file. Where it is given, every browser and \
         program needs a certificate of theirs beside its token.",
    ),
];

const STORE: &[Setting] = &[Setting::default(
    "url",
    One(Url),
    r#""sqlite://keygate.db""#,
    "`sqlite://PATH` (relative to the working directory) or `postgres://USER:PASSWORD@HOST/NAME`. \
     The environment's `DATABASE_URL` wins over it.",
)];

const USAGE: &[Setting] = &[
    Setting::default(
        "journal",
        One(Text),
        r#""keygate-usage""#,
        "Folder of the journal that answered requests are written to before they are booked in the \
         store, made where there is none; relative to the working directory. Keep it on a disk that \
         outlives the process: what is left in it is booked by the next start.",
    ),
    Setting::default(
        "keep_requests",
        One(ANY_DURATION),
        r#""0s""#,
        "How long each request is kept in the store by itself, for questions of your own in SQL; \
         `\"0s\"`: not at all. Counts and costs, which are all that keygate tells, are kept in any case.",
    ),
    Setting::default(
        "keep_hours",
        One(LONGER_THAN_ZERO),
        r#""90d""#,
        "How long usage is kept by hour; after that it is kept by day.",
    ),
];

const CACHE: &[Setting] = &[
    Setting::default(
        "capacity",
        One(Integer { least: 1, most: 1_000_000_000 }),
        "1_000_000",
        "Keys held at most.",
    ),
    Setting::default(
        "ttl",
        One(LONGER_THAN_ZERO),
        r#""60s""#,
        "After how long a key is read again, counted from when it was read. Changes take effect at \
         once all the same; this is the net below.",
    ),
    Setting::default(
        "stale_if_down",
        One(ANY_DURATION),
        r#""15m""#,
        "How long known keys go on working while the store is out of reach.",
    ),
    Setting::default(
        "key_file",
        One(Text),
        r#""""#,
        "File with the cache key: a line of at least 32 random characters, kept outside the store; \
         a second line is the key that it replaces. Secrets that were verified once then need no \
         second Argon2, after a restart or on another instance. Empty for none. The environment's \
         `KEYGATE_CACHE_KEY` may hold the key itself, and wins over it.",
    ),
];

const CLUSTER: &[Setting] = &[
    Setting::default(
        "redis",
        One(Url),
        r#""""#,
        "`redis://USER:PASSWORD@HOST:PORT/DATABASE`: rate limits are then shared by all instances. \
         `rediss://` with TLS, `redis+cluster://HOST,HOST` (`rediss+cluster://`) for a Redis \
         cluster, `unix://PATH` for a socket. Empty for none.",
    ),
    Setting::default(
        "redis_ca",
        One(Text),
        r#""""#,
        "File with the authorities that Redis's certificate is checked by, PEM, in place of the \
         system's. Empty for those.",
    ),
];

const KEYS: &[Setting] = &[
    Setting::default(
        "live_prefix",
        One(Text),
        r#""sk_live_""#,
        "Begins every live secret: letters, digits, `_`, `-` and `.`.",
    ),
    Setting::default(
        "test_prefix",
        One(Text),
        r#""sk_test_""#,
        "Begins every test secret; empty: there are no test keys. Where both prefixes fit, the \
         longer one tells.",
    ),
    Setting::default(
        "checksum",
        One(Bool),
        "true",
        "Whether secrets end with six characters of CRC-32, so that typing errors are refused \
         without a look-up.",
    ),
    Setting::default(
        "headers",
        List { of: Text, least: 1 },
        r#"["authorization", "x-api-key"]"#,
        "Headers a secret is taken from; `authorization` only with the scheme Bearer.",
    ),
    Setting::default(
        "rotation_grace",
        One(ANY_DURATION),
        r#""7d""#,
        "How long a rotated secret goes on working, unless the command says otherwise; and how long a \
         rotation that a key's schedule asks for may be claimed before it is overdue.",
    ),
    Setting::default(
        "rotate_after",
        One(LONGER_THAN_ZERO),
        r#""90d""#,
        "The age from which a secret is shown as due for rotation.",
    ),
    Setting::default(
        "enforce_rotation",
        One(Bool),
        "false",
        "Whether a key with a schedule (`key update --rotate-every`) stops when its rotation is \
         overdue, until it is rotated by command.",
    ),
    Setting::default(
        "max_depth",
        One(Integer { least: 0, most: 15 }),
        "4",
        "Generations below a key that has no parent; 0: no key has children.",
    ),
    Setting::default(
        "max_children",
        One(Integer { least: 1, most: 1_000_000 }),
        "1000",
        "Keys that may live under one, over all generations.",
    ),
    Setting::section("argon2", ARGON2, "Strength of new hashes; old ones keep theirs."),
];

const ARGON2: &[Setting] = &[
    Setting::default(
        "memory",
        One(Size { least: 8 * KIB, most: 4 * GIB - KIB }),
        r#""19MiB""#,
        "Memory that one hash takes, in whole KiB, at least 8 KiB a lane.",
    ),
    Setting::default(
        "iterations",
        One(Integer { least: 1, most: 1_000 }),
        "2",
        "Passes over that memory.",
    ),
    Setting::default("parallelism", One(Integer { least: 1, most: 64 }), "1", "Lanes."),
];

const LIMITS: &[Setting] = &[
    Setting::default(
        "per_key",
        List { of: Limit, least: 0 },
        r#"["60/min", "1000/hour"]"#,
        "For every key without limits of its own; one of each window at most. The environment's \
         `RATE_LIMIT_PER_MIN` and `RATE_LIMIT_PER_HOUR` replace or add theirs.",
    ),
    Setting::default(
        "failed_auth_per_ip",
        One(LimitOrNone),
        r#""30/min""#,
        "Refused secrets of one client address; past it, whatever is not already verified gets \
         429 from there.",
    ),
    Setting::default(
        "test_keys_count",
        One(Bool),
        "false",
        "Whether limits and budgets hold for test keys too.",
    ),
];

const ACCESS_LOG: &[Setting] = &[
    Setting::default("format", One(Choice(&["json"])), r#""json""#, "The form of a line."),
    Setting::default(
        "output",
        One(Text),
        r#""stdout""#,
        "`stdout`, `stderr`, or a file that is appended to.",
    ),
    Setting::default(
        "sample",
        One(Number { least: 0.0, most: 1.0 }),
        "1.0",
        "Which part of the requests is logged: 0 none, 1 all.",
    ),
];
