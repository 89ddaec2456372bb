//! `[cluster]`: where Redis is.

use crate::config::files;
use crate::config::problem::Complaints;
use crate::config::tree::{Table, Word};
use crate::config::types::{RedisLocation, RedisNode, RedisPlace};
use crate::tls::is_server_name;

/// Where Redis listens unless it is told otherwise.
const PORT: u16 = 6_379;

pub(super) fn check(cluster: &Table, complaints: &mut Complaints<'_>) -> Option<RedisLocation> {
    let url = cluster.text("redis");
    let ca = files::filled(cluster, "redis_ca");
    if url.text.is_empty() {
        if ca.is_some() {
            let at = cluster.place_of("redis_ca");
            complaints.problem(at, "`cluster.redis_ca` needs `cluster.redis`");
        }
        return None;
    }
    let location = location(url.text);
    let Some(location) = location else {
        complain(url, complaints);
        return None;
    };
    if ca.is_some() && !location.place.is_tls() {
        let at = cluster.place_of("redis_ca");
        complaints.problem(at, "`cluster.redis_ca` needs a `cluster.redis` with `rediss`");
    }
    Some(RedisLocation { ca: ca.map(Into::into), ..location })
}

fn complain(url: Word<'_>, complaints: &mut Complaints<'_>) {
    complaints.problem_with_hint(
        url.at,
        "`cluster.redis` must be \"redis://USER:PASSWORD@HOST:PORT/DATABASE\" without parameters, \
         the same with `rediss`, `redis+cluster` or `rediss+cluster`, or \"unix://PATH\"",
        "all but the host may be left out; in user and password, write `%` and what would end them \
         as `%` and two hexadecimal digits"
            .to_owned(),
    );
}

/// Takes `SCHEME://[[USER][:PASSWORD]@]HOST[:PORT][,HOST[:PORT]]…[/DATABASE]` apart.
fn location(url: &str) -> Option<RedisLocation> {
    let (scheme, rest) = url.split_once("://")?;
    if rest.contains(['?', '#']) || rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return None;
    }
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path),
        None => (rest, ""),
    };
    let (user_information, hosts) = match authority.rsplit_once('@') {
        Some((user_information, hosts)) => (Some(user_information), hosts),
        None => (None, authority),
    };
    let (user, password) = credentials(user_information.unwrap_or_default())?;
    let place = match scheme {
        "redis" | "rediss" => {
            RedisPlace::Server { tls: scheme == "rediss", node: node(hosts, scheme == "rediss")? }
        }
        "redis+cluster" | "rediss+cluster" => {
            let tls = scheme == "rediss+cluster";
            let nodes: Option<Vec<_>> = hosts.split(',').map(|host| node(host, tls)).collect();
            RedisPlace::Cluster { tls, nodes: nodes? }
        }
        "unix" if hosts.is_empty() && !path.is_empty() => {
            RedisPlace::Socket(format!("/{path}").into())
        }
        _ => return None,
    };
    let is_socket = matches!(place, RedisPlace::Socket(_));
    let database = if is_socket || path.is_empty() { 0 } else { path.parse().ok()? };
    Some(RedisLocation { place, user, password, database, ca: None })
}

/// `USER:PASSWORD`, of which either may be missing.
fn credentials(text: &str) -> Option<(Option<String>, Option<String>)> {
    let (user, password) = match text.split_once(':') {
        Some((user, password)) => (user, Some(password)),
        None => (text, None),
    };
    let user = if user.is_empty() { None } else { Some(decoded(user)?) };
    let password = match password {
        Some(password) => Some(decoded(password)?),
        None => None,
    };
    Some((user, password))
}

/// Undoes percent-encoding (RFC 3986 section 2.1).
fn decoded(text: &str) -> Option<String> {
    let mut pieces = text.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let digits = piece.get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

/// `HOST[:PORT]`.
fn node(text: &str, tls: bool) -> Option<RedisNode> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port)
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let in_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    if host.is_empty() || !host.bytes().all(in_host) || (tls && !is_server_name(host)) {
        return None;
    }
    let port = match port.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None if port.is_empty() => PORT,
        None => return None,
    };
    Some(RedisNode { host: host.to_owned(), port })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> RedisNode {
        RedisNode { host: host.to_owned(), port }
    }

    #[test]
    fn a_server_has_a_host_and_maybe_more() {
        for (url, tls, expected, user, password, database) in [
            ("redis://127.0.0.1", false, node("127.0.0.1", 6_379), None, None, 0),
            ("rediss://cache.internal:6380/2", true, node("cache.internal", 6_380), None, None, 2),
            ("redis://:hush@[::1]:1", false, node("::1", 1), None, Some("hush"), 0),
            ("redis://me:a%40b%2fc%25@h/", false, node("h", 6_379), Some("me"), Some("a@b/c%"), 0),
            ("redis://me:a@b@h", false, node("h", 6_379), Some("me"), Some("a@b"), 0),
            ("redis://me@h", false, node("h", 6_379), Some("me"), None, 0),
        ] {
            let found = location(url).unwrap();
            assert_eq!(found.place, RedisPlace::Server { tls, node: expected }, "{url}");
            assert_eq!((found.user.as_deref(), found.password.as_deref()), (user, password));
            assert_eq!(found.database, database);
        }
    }

    #[test]
    fn a_cluster_has_several_hosts_and_a_socket_has_a_path() {
        let found = location("rediss+cluster://:x@a,b:7001,[::1]:7002").unwrap();
        let nodes = vec![node("a", 6_379), node("b", 7_001), node("::1", 7_002)];
        assert_eq!(found.place, RedisPlace::Cluster { tls: true, nodes });
        let found = location("unix://:x@/run/redis/redis.sock").unwrap();
        assert_eq!(found.place, RedisPlace::Socket("/run/redis/redis.sock".into()));
        assert_eq!(found.password.as_deref(), Some("x"));
    }

    #[test]
    fn what_is_more_or_less_than_that_is_no_place() {
        for url in [
            "redis",
            "redis://",
            "redis://:6379",
            "redis://a:0",
            "redis://a:x",
            "redis://a,b",
            "redis://a/x",
            "redis://a/-1",
            "redis://a/0/1",
            "redis://a?protocol=resp3",
            "rediss://a#insecure",
            "redis://u:%4@a",
            "redis://u:%zz@a",
            "redis://u:%ff@a",
            "redis://a b",
            "redis+cluster://a,",
            "redis+cluster://",
            "rediss://-",
            "redis://[a]",
            "redis://[::1]x",
            "unix://",
            "unix://a/b",
            "http://a",
        ] {
            assert!(location(url).is_none(), "{url}");
        }
    }

    #[test]
    fn nothing_shows_a_password() {
        let found = location("redis://me:hush@h").unwrap();
        assert!(!format!("{found:?}").contains("hush"), "{found:?}");
    }
}
