//! The checked configuration: what the rest of keygate reads, complete and without places.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method};

use crate::domain::{
    AddressRange, Call, Catalogue, EventPattern, Limit, Millionths, Reason, WebhookUrl,
};
use crate::key::hash::Argon2Strength;
use crate::key::{CacheKeys, SecretFormat, SigningSecret};
use crate::tls::{ClientSettings, ServerFiles};

/// Everything the file and the environment said, checked. Defaults are filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `[server]`: the data plane.
    pub server: Server,
    /// `[admin]`: health, metrics, admin API, dashboard.
    pub admin: Admin,
    /// `[store]`.
    pub store: StoreLocation,
    /// `[usage]`: the journal and the books.
    pub usage: Usage,
    /// `[cache]`: the key table.
    pub cache: Cache,
    /// `cluster.redis`: where limits are shared, if they are.
    pub redis: Option<RedisLocation>,
    /// `[keys]`.
    pub keys: Keys,
    /// `[limits]`.
    pub limits: Limits,
    /// `[scopes]`: the catalogue.
    pub scopes: Catalogue,
    /// `[permissions]`: bundles of scopes by name.
    pub permissions: BTreeMap<String, Vec<String>>,
    /// `[upstreams.NAME]`, in the order of their names.
    pub upstreams: Vec<Upstream>,
    /// `[[routes]]`, in the order of the file.
    pub routes: Vec<Route>,
    /// `identity.header_prefix`: lower case, ends in `-`.
    pub identity_prefix: String,
    /// `[self_service]`; `None`: there is none.
    pub self_service: Option<SelfService>,
    /// `[errors.REASON]`.
    pub errors: BTreeMap<Reason, ErrorOverride>,
    /// `[access_log]`.
    pub access_log: AccessLog,
    /// `[webhooks]`.
    pub webhooks: Webhooks,
    /// Where a key claims a new secret of its own, where the self-service API is on: a path.
    pub rotation_claim: Option<String>,
    /// `alerts.unusual_usage`: whether unusual use of a key is told of.
    pub unusual_usage: bool,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Admin {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Its certificate; `None`: plain HTTP.
    pub tls: Option<ServerFiles>,
    /// How often one address may fail to sign in; `None`: as often as it likes.
    pub failed_sign_in_per_ip: Option<Limit>,
    /// How many refusals each instance holds to explain them.
    pub keep_refusals: usize,
}

/// `[server]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where the data plane listens; at least one; port 0 takes a free one.
    pub listen: Vec<SocketAddr>,
    /// Worker threads; never 0 here (0 in the file is one per core).
    pub workers: usize,
    /// How long a head may take to arrive.
    pub header_timeout: Duration,
    /// How long a connection may stay without a request.
    pub idle_timeout: Duration,
    /// How long running requests have after SIGTERM.
    pub drain_timeout: Duration,
    /// Bytes a head may have.
    pub max_header_bytes: usize,
    /// Bytes a body may have where the route says nothing else.
    pub max_body: u64,
    /// Client connections at once, over all workers.
    pub max_connections: usize,
    /// Certificates, where clients speak TLS.
    pub tls: Option<ServerFiles>,
    /// Where a listener in clear sends everybody to TLS; only with [`Self::tls`].
    pub redirect_http: Option<SocketAddr>,
    /// Whose word about their clients is believed.
    pub trusted_proxies: Vec<AddressRange>,
    /// Whether those begin every connection with a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

impl Server {
    /// Whether an address is a trusted proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|range| range.contains(address))
    }

    /// Connections that one address may have, other than a trusted proxy's: a quarter of all, so
    /// that it takes several to keep others out, and at least 100, the places of a busy machine.
    pub fn max_connections_per_address(&self) -> usize {
        (self.max_connections / 4).max(100)
    }
}

/// `store.url` taken apart.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreLocation {
    /// `sqlite://PATH`; relative to the working directory.
    Sqlite(PathBuf),
    /// `postgres://…` or `postgresql://…`, with its password.
    Postgres(String),
}

/// `[usage]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The folder of the processes' journals.
    pub journal: PathBuf,
    /// How long the store keeps single requests; zero: not at all.
    pub keep_requests: Duration,
    /// How long it counts by hour.
    pub keep_hours: Duration,
}

/// `[cache]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Cache {
    /// Entries the key table holds at most.
    pub capacity: usize,
    /// After how long an entry is read again, counted from when it was read.
    pub ttl: Duration,
    /// How long entries go on working while the store is away.
    pub stale_if_down: Duration,
    /// Where the cache key is, if there is one.
    pub key: Option<CacheKeySource>,
}

/// Where the cache key comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum CacheKeySource {
    /// `cache.key_file`, which is read at the start and at every reload.
    File(PathBuf),
    /// The environment's variable `KEYGATE_CACHE_KEY`.
    Variable(CacheKeys),
}

/// `cluster.redis` taken apart, and `cluster.redis_ca`.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisLocation {
    /// Where it listens.
    pub place: RedisPlace,
    /// Who we are to it, where it is not its default user.
    pub user: Option<String>,
    /// Our password.
    pub password: Option<String>,
    /// The number of the database.
    pub database: u16,
    /// Authorities that are believed in place of the system's, PEM; only over TLS.
    pub ca: Option<PathBuf>,
}

/// Where Redis listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedisPlace {
    /// One server.
    Server {
        /// Whether it speaks TLS.
        tls: bool,
        /// Where it is.
        node: RedisNode,
    },
    /// A cluster, by some of its nodes.
    Cluster {
        /// Whether they speak TLS.
        tls: bool,
        /// Those that are asked for the others; at least one.
        nodes: Vec<RedisNode>,
    },
    /// A socket of this machine.
    Socket(PathBuf),
}

impl RedisPlace {
    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Server { tls: true, .. } | Self::Cluster { tls: true, .. })
    }
}

/// One server of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedisNode {
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// 6379 where none was written.
    pub port: u16,
}

/// `[keys]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Keys {
    /// Prefixes and checksum.
    pub format: SecretFormat,
    /// Headers a credential is taken from, in the order of the file; at least one.
    pub headers: Vec<HeaderName>,
    /// How long a rotated secret goes on working unless the command says otherwise.
    pub rotation_grace: Duration,
    /// The age from which a secret is shown as due for rotation.
    pub rotate_after: Duration,
    /// Whether a key with a schedule stops when its rotation is overdue.
    pub enforce_rotation: bool,
    /// Generations below a key that has no parent; 0: no key has children.
    pub max_depth: u32,
    /// Living keys under one, over all generations.
    pub max_children: u32,
    /// Strength of new hashes.
    pub argon2: Argon2Strength,
}

/// `[limits]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// For every key without limits of its own; one a window at most, shortest window first.
    pub per_key: Vec<Limit>,
    /// 401s per client address; `None`: not counted.
    pub failed_auth_per_ip: Option<Limit>,
    /// Whether test keys count at all.
    pub test_keys_count: bool,
}

/// `[upstreams.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Where requests go; at least one.
    pub targets: Vec<Target>,
    /// Where test keys' requests go, if there is any.
    pub sandbox: Vec<Target>,
    /// How long a connection may take to stand.
    pub connect_timeout: Duration,
    /// How long the upstream may take to begin its answer, and between two pieces of it.
    pub timeout: Duration,
    /// Further targets tried.
    pub retries: u32,
    /// Active health checks.
    pub health: Option<Health>,
    /// Whether targets in clear speak HTTP/2.
    pub http2: bool,
    /// For targets with TLS.
    pub tls: ClientSettings,
    /// Set on every request to it, replacing what the client sent.
    pub set_headers: Vec<(HeaderName, HeaderValue)>,
}

/// `upstreams.NAME.health`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// What is asked for: a path, with its query if it has one.
    pub path: PathAndQuery,
    /// How often.
    pub interval: Duration,
}

/// One `http://HOST:PORT` or `https://HOST:PORT` of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Target {
    /// Whether it was written with `https://`.
    pub tls: bool,
    /// As written, without the scheme: what `Host` says where the client gave none.
    pub authority: String,
    /// Host name or address, IPv6 without brackets.
    pub host: String,
    /// 80, or 443 with TLS, where none was written.
    pub port: u16,
}

/// What a request must bring to pass a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// No key at all.
    Public,
    /// A key with every one of these scopes; none: any key.
    All(Vec<String>),
    /// A key with one of these.
    Any(Vec<String>),
}

/// One `[[routes]]`.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a setting of its own")]
pub struct Route {
    /// As written: literal segments, `{name}` for one, `/**` last for one or more.
    pub path: String,
    /// Upper case as written; empty: all methods but OPTIONS, CONNECT, TRACE.
    pub methods: Vec<Method>,
    /// Which key may.
    pub requirement: Requirement,
    /// Index into [`Config::upstreams`].
    pub upstream: usize,
    /// What a request costs, or what is charged where the upstream does not say.
    pub cost: Millionths,
    /// Where the upstream says it.
    pub cost_header: Option<HeaderName>,
    /// Of each key on this route, beside its own limits.
    pub limits: Vec<Limit>,
    /// Taken off the path before it is forwarded; empty, or begins with `/` and does not end so.
    pub strip_prefix: String,
    /// Bytes a body may have.
    pub max_body: Option<u64>,
    /// Instead of the upstream's.
    pub timeout: Option<Duration>,
    /// Whether test keys may.
    pub allow_test_keys: bool,
    /// Whether header names with an underscore pass.
    pub underscore_headers: bool,
    /// Whether request trailers pass, filtered.
    pub forward_trailers: bool,
    /// Whether WebSockets pass.
    pub websocket: bool,
    /// Pages of which origins may call; `None`: nothing is said to browsers.
    pub cors: Option<Origins>,
}

/// `cors.origins` of a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// `*`.
    Any,
    /// These, as browsers send them (RFC 6454 section 6.2); at least one.
    Listed(Vec<HeaderValue>),
}

/// `[self_service]`, where it is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelfService {
    /// Before the path of every call; empty, or begins with `/` and does not end so.
    pub prefix: String,
    /// The names of its scopes, by their names in the contract.
    pub scopes: BTreeMap<String, String>,
}

impl SelfService {
    /// A call's path, as a route's is written.
    pub fn path(&self, call: Call) -> String {
        format!("{}{}", self.prefix, call.path())
    }

    /// The scope that a call asks for here.
    pub fn scope(&self, call: Call) -> Option<&str> {
        call.scope().map(|scope| self.scopes.get(scope).map_or(scope, String::as_str))
    }
}

/// `[errors.REASON]`: what is not given stays as it is by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorOverride {
    /// 400 to 599.
    pub status: Option<u16>,
    /// Any text.
    pub code: Option<String>,
    /// Any text, with placeholders.
    pub message: Option<String>,
}

/// `[access_log]`.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessLog {
    /// Where lines go.
    pub output: LogOutput,
    /// Which part of the requests is logged: 0 none, 1 all.
    pub sample: f64,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file that is appended to.
    File(PathBuf),
}

/// `[webhooks]`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Webhooks {
    /// Whether events may go to addresses that are not the public internet's, and in clear.
    pub allow_private_networks: bool,
    /// Authorities that are believed beside the system's, PEM.
    pub ca_file: Option<PathBuf>,
    /// Where the key is that hooks' secrets are encrypted under, if it has a file of its own.
    pub key_file: Option<PathBuf>,
    /// Where events go, in the order of the file; no URL twice.
    pub endpoints: Vec<Endpoint>,
}

/// One `[[webhooks.endpoints]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// Where events are posted to.
    pub url: WebhookUrl,
    /// Which; at least one pattern.
    pub events: Vec<EventPattern>,
    /// What they are signed with.
    pub secret: SigningSecret,
}

impl std::fmt::Debug for StoreLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => f.debug_tuple("Sqlite").field(path).finish(),
            Self::Postgres(_) => f.write_str("Postgres(***)"),
        }
    }
}

impl std::fmt::Debug for RedisLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisLocation").field("place", &self.place).finish_non_exhaustive()
    }
}
