//! The tree into a [`Config`]: what the values mean, on their own and together.
//!
//! Every check goes on behind a complaint, so that all of them come at once; what they return then
//! is thrown away with the rest.

mod cluster;
mod cors;
mod keys;
mod path;
mod routes;
mod self_service;
mod upstreams;
mod webhooks;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;

use super::files;
use super::problem::{Complaints, suggestion};
use super::tree::{Node, Table, Value, Word};
use super::types::{
    AccessLog, Admin, Cache, CacheKeySource, Config, ErrorOverride, Limits, LogOutput, SelfService,
    Server, StoreLocation, Usage,
};
use crate::domain::scope::{ScopeEntry, check_grant, check_name};
use crate::domain::{AddressRange, Call, Catalogue, Limit, Reason};

/// Checks the whole tree. What comes back is good only where no problem was found.
pub(super) fn check(root: &Table, complaints: &mut Complaints<'_>) -> Config {
    check_listeners(root, complaints);
    let self_service = self_service::check(root.table("self_service"), complaints);
    let scopes = catalogue(root.table("scopes"), self_service.as_ref(), complaints);
    let identity_prefix = keys::identity_prefix(root.table("identity"), complaints);
    let upstreams = upstreams::check(root.table("upstreams"), &identity_prefix, complaints);
    Config {
        server: server(root.table("server"), complaints),
        admin: admin(root.table("admin"), complaints),
        store: store(root.table("store"), complaints),
        usage: usage(root.table("usage"), complaints),
        cache: cache(root.table("cache")),
        redis: cluster::check(root.table("cluster"), complaints),
        keys: keys::check(root.table("keys"), complaints),
        limits: limits(root.table("limits"), complaints),
        permissions: permissions(root.table("permissions"), &scopes, complaints),
        routes: routes::check(root, &scopes, &upstreams, self_service.as_ref(), complaints),
        errors: errors(root.table("errors"), complaints),
        access_log: access_log(root.table("access_log"), complaints),
        webhooks: webhooks::check(root.table("webhooks"), complaints),
        rotation_claim: self_service.as_ref().map(|own| own.path(Call::Rotate)),
        unusual_usage: root.table("alerts").bool("unusual_usage"),
        scopes,
        self_service,
        upstreams,
        identity_prefix,
    }
}

fn admin(admin: &Table, complaints: &mut Complaints<'_>) -> Admin {
    let (listen, tls) = (admin.address("listen"), files::server_tls(admin));
    if !listen.ip().to_canonical().is_loopback() && tls.is_none() && !admin.bool("allow_plain_http")
    {
        complaints.problem_with_hint(
            admin.place_of("listen"),
            format!("admin tokens would come to {listen} in clear from other machines"),
            "set `admin.tls`, listen on 127.0.0.1, or say `admin.allow_plain_http = true` where \
             nobody else can listen in"
                .to_owned(),
        );
    }
    Admin {
        listen,
        tls,
        failed_sign_in_per_ip: admin.node("failed_sign_in_per_ip").and_then(Node::limit),
        keep_refusals: admin.count("keep_refusals") as usize,
    }
}

fn server(server: &Table, complaints: &mut Complaints<'_>) -> Server {
    check_proxy_protocol(server, complaints);
    check_tls(server, complaints);
    let workers = match server.count("workers") {
        0 => thread::available_parallelism().map_or(1, NonZero::get),
        workers => workers as usize,
    };
    Server {
        listen: server.addresses("listen"),
        workers,
        header_timeout: server.duration("header_timeout"),
        idle_timeout: server.duration("idle_timeout"),
        drain_timeout: server.duration("drain_timeout"),
        max_header_bytes: server.size("max_header_bytes") as usize,
        max_body: server.size("max_body"),
        max_connections: server.count("max_connections") as usize,
        trusted_proxies: server.words("trusted_proxies").iter().filter_map(range).collect(),
        tls: files::server_tls(server),
        redirect_http: redirect_http(server, complaints),
        proxy_protocol: server.bool("proxy_protocol"),
    }
}

/// Nobody else may say where a connection comes from.
fn check_proxy_protocol(server: &Table, complaints: &mut Complaints<'_>) {
    if server.bool("proxy_protocol") && server.list("trusted_proxies").is_empty() {
        complaints.problem_with_hint(
            server.place_of_name("proxy_protocol"),
            "`server.proxy_protocol` needs `server.trusted_proxies`, from which alone it is taken",
            "name the addresses of your proxies there, such as [\"10.0.0.0/8\"]".to_owned(),
        );
    }
}

/// Which files they name, not what is in them: see [`files`].
fn check_tls(server: &Table, complaints: &mut Complaints<'_>) {
    if server.node("tls").is_none() {
        return;
    }
    let tls = server.table("tls");
    let (cert, key) = (tls.text("cert"), tls.text("key"));
    let half = match (cert.text.is_empty(), key.text.is_empty()) {
        (false, true) => Some((cert.at, "`server.tls.cert` needs its `server.tls.key`")),
        (true, false) => Some((key.at, "`server.tls.key` needs its `server.tls.cert`")),
        (true, true) if tls.list("certificates").is_empty() => {
            Some((server.place_of_name("tls"), "`server.tls` needs a certificate"))
        }
        _ => None,
    };
    if let Some((at, problem)) = half {
        let hint = "give `cert` and `key`, or `certificates` with several of both".to_owned();
        complaints.problem_with_hint(at, problem, hint);
    }
}

/// An address, or none.
fn redirect_http(server: &Table, complaints: &mut Complaints<'_>) -> Option<SocketAddr> {
    let word = server.text("redirect_http");
    if word.text.is_empty() {
        return None;
    }
    let address = word.text.parse().ok();
    if address.is_none() {
        complaints.problem(
            word.at,
            "`server.redirect_http` must be an IP address with a port, such as \"0.0.0.0:80\"",
        );
    }
    if server.node("tls").is_none() {
        let problem = "`server.redirect_http` needs `server.tls`, to which it sends";
        complaints.problem(word.at, problem);
    }
    if address
        .is_some_and(|it: SocketAddr| it.port() != 0 && server.addresses("listen").contains(&it))
    {
        complaints.problem(word.at, "this address is listened on twice");
    }
    address
}

/// The table of settings has complained of what is none.
fn range(word: &Word<'_>) -> Option<AddressRange> {
    word.text.parse().ok()
}

/// No two listeners on one address, unless the system chooses the port.
fn check_listeners(root: &Table, complaints: &mut Complaints<'_>) {
    let mut taken = Vec::new();
    let admin = root.table("admin").node("listen");
    for node in root.table("server").list("listen").iter().chain(admin) {
        let Value::Address(address) = node.value else { continue };
        if address.port() != 0 && taken.contains(&address) {
            complaints.problem(node.at, "this address is listened on twice");
        }
        taken.push(address);
    }
}

fn store(store: &Table, complaints: &mut Complaints<'_>) -> StoreLocation {
    let node = store.node("url").expect("the URL has a default");
    let url = store.text("url").text;
    let clean = !url.chars().any(|c| c.is_whitespace() || c.is_control());
    let postgres = ["postgres://", "postgresql://"].iter().find_map(|s| url.strip_prefix(s));
    match (url.strip_prefix("sqlite://"), postgres) {
        (Some(path), _) if !path.is_empty() && !path.contains(['?', '#']) => {
            return StoreLocation::Sqlite(PathBuf::from(path));
        }
        (_, Some(rest)) if clean && !rest.is_empty() => {
            return StoreLocation::Postgres(url.to_owned());
        }
        _ => {}
    }
    let called = match node.variable {
        Some(variable) => format!("the environment's variable `{variable}`"),
        None => "`store.url`".to_owned(),
    };
    complaints.problem(
        node.at,
        format!(
            "{called} must be \"sqlite://PATH\" without parameters, or \
             \"postgres://USER:PASSWORD@HOST/NAME\""
        ),
    );
    StoreLocation::Sqlite(PathBuf::new())
}

fn usage(usage: &Table, complaints: &mut Complaints<'_>) -> Usage {
    let journal = usage.text("journal");
    if journal.text.is_empty() {
        complaints.problem(journal.at, "`usage.journal` must name a folder");
    }
    Usage {
        journal: journal.text.into(),
        keep_requests: usage.duration("keep_requests"),
        keep_hours: usage.duration("keep_hours"),
    }
}

fn cache(cache: &Table) -> Cache {
    Cache {
        capacity: cache.count("capacity") as usize,
        ttl: cache.duration("ttl"),
        stale_if_down: cache.duration("stale_if_down"),
        key: files::filled(cache, "key_file").map(|path| CacheKeySource::File(path.into())),
    }
}

fn limits(limits: &Table, complaints: &mut Complaints<'_>) -> Limits {
    Limits {
        per_key: windows("limits.per_key", limits.list("per_key"), complaints),
        failed_auth_per_ip: limits.node("failed_auth_per_ip").and_then(Node::limit),
        test_keys_count: limits.bool("test_keys_count"),
    }
}

/// Limits with one a window at most, shortest window first.
fn windows(path: &str, nodes: &[Node], complaints: &mut Complaints<'_>) -> Vec<Limit> {
    let mut limits: Vec<Limit> = Vec::new();
    for node in nodes {
        let Some(limit) = node.limit() else { continue };
        if limits.iter().any(|known| known.window == limit.window) {
            let window = limit.window.name();
            complaints
                .problem(node.at, format!("`{path}` has two limits for one window, {window}"));
        }
        limits.push(limit);
    }
    limits.sort_by_key(|limit| limit.window);
    limits
}

fn catalogue(
    scopes: &Table,
    self_service: Option<&SelfService>,
    complaints: &mut Complaints<'_>,
) -> Catalogue {
    let mut entries = self_service.map(self_service::scopes).unwrap_or_default();
    for (name, at, node) in &scopes.entries {
        if let Err(error) = check_name(name) {
            complaints.problem(*at, format!("`{name}` is no name for a scope: {error}"));
        }
        let Value::Table(entry) = &node.value else { continue };
        let implies = entry.words("implies").iter().map(|word| word.text.to_owned()).collect();
        let description = entry.text("description").text.to_owned();
        entries.insert(name.clone(), ScopeEntry { description, implies });
    }
    let catalogue = Catalogue::new(entries);
    for (_, _, node) in &scopes.entries {
        if let Value::Table(entry) = &node.value {
            check_grants(&entry.words("implies"), &catalogue, complaints);
        }
    }
    catalogue
}

fn permissions(
    permissions: &Table,
    scopes: &Catalogue,
    complaints: &mut Complaints<'_>,
) -> BTreeMap<String, Vec<String>> {
    let mut bundles = BTreeMap::new();
    for (name, at, node) in &permissions.entries {
        check_chosen_name("a permission", name, *at, complaints);
        let words = node.words();
        check_grants(&words, scopes, complaints);
        bundles.insert(name.clone(), words.iter().map(|word| word.text.to_owned()).collect());
    }
    bundles
}

/// What may be granted: names of the catalogue, wildcards that cover one, `*`.
fn check_grants(words: &[Word<'_>], scopes: &Catalogue, complaints: &mut Complaints<'_>) {
    for word in words {
        if let Err(error) = check_grant(word.text) {
            complaints.problem(word.at, format!("{word} is no scope: {error}"));
        } else if !scopes.knows(word.text) {
            unknown_scope(*word, scopes, complaints);
        }
    }
}

fn unknown_scope(word: Word<'_>, scopes: &Catalogue, complaints: &mut Complaints<'_>) {
    let names: Vec<&str> = scopes.entries().map(|(name, _)| name).collect();
    let hint = suggestion(word.text, names)
        .unwrap_or_else(|| "name the scopes that there are under `[scopes]`".to_owned());
    complaints.problem_with_hint(word.at, format!("there is no scope {word} in `[scopes]`"), hint);
}

/// Names that the operator makes up are used in commands, logs and metrics.
fn check_chosen_name(what: &str, name: &str, at: usize, complaints: &mut Complaints<'_>) {
    let part = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    if !(1..=64).contains(&name.len()) || !name.bytes().all(part) {
        complaints
            .problem(at, format!("{what} has a name of 1 to 64 letters, digits, `.`, `_` and `-`"));
    }
}

fn errors(errors: &Table, complaints: &mut Complaints<'_>) -> BTreeMap<Reason, ErrorOverride> {
    let mut overrides = BTreeMap::new();
    for (name, at, node) in &errors.entries {
        let Some(reason) = Reason::from_name(name) else {
            let known = Reason::ALL.iter().map(|reason| reason.name());
            let hint = suggestion(name, known);
            complaints.problem_with_hint(*at, format!("there is no reason `{name}`"), hint);
            continue;
        };
        let Value::Table(given) = &node.value else { continue };
        if let Some(message) = given.word("message") {
            check_placeholders(reason, message, complaints);
        }
        let text = |name| given.word(name).map(|word| word.text.to_owned());
        let status = given.node("status").map(|_| given.count("status") as u16);
        overrides
            .insert(reason, ErrorOverride { status, code: text("code"), message: text("message") });
    }
    overrides
}

/// A placeholder that is never filled in would be shown to clients as it is.
fn check_placeholders(reason: Reason, message: Word<'_>, complaints: &mut Complaints<'_>) {
    let known: &[&str] = match reason {
        Reason::MissingScope => &["scope"],
        Reason::RateLimited => &["limit", "retry_after"],
        Reason::BadRequest | Reason::Conflict => &["detail"],
        _ => &[],
    };
    let is_name =
        |name: &&str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    let pieces = message.text.split('{').skip(1);
    let placeholders = pieces.filter_map(|piece| piece.split_once('}').map(|(name, _)| name));
    for name in placeholders.filter(is_name).filter(|name| !known.contains(name)) {
        let hint = match known {
            [] => format!("the message of {reason} has no placeholders"),
            names => format!("filled in here: `{{{}}}`", names.join("}`, `{")),
        };
        complaints.problem_with_hint(
            message.at,
            format!(
                "`errors.{reason}.message` has a placeholder `{{{name}}}` that is not filled in"
            ),
            hint,
        );
    }
}

fn access_log(log: &Table, complaints: &mut Complaints<'_>) -> AccessLog {
    let output = log.text("output");
    if output.text.is_empty() {
        complaints.problem(
            output.at,
            "`access_log.output` must be \"stdout\", \"stderr\" or the path of a file",
        );
    }
    let output = match output.text {
        "stdout" => LogOutput::Stdout,
        "stderr" => LogOutput::Stderr,
        path => LogOutput::File(PathBuf::from(path)),
    };
    AccessLog { output, sample: log.number("sample") }
}
