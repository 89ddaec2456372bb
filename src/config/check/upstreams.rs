//! `[upstreams.NAME]`: targets, how they are reached, and the headers set for them.

use http::uri::Authority;
use http::{HeaderName, HeaderValue};

use crate::config::files;
use crate::config::problem::Complaints;
use crate::config::tree::{Table, Value, Word};
use crate::config::types::{Health, Target, Upstream};
use crate::tls::{ClientSettings, is_server_name};

/// Headers that the gateway writes anew for every message.
const NOT_TO_SET: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn check(
    upstreams: &Table,
    identity_prefix: &str,
    complaints: &mut Complaints<'_>,
) -> Vec<Upstream> {
    let mut checked = Vec::new();
    for (name, at, node) in &upstreams.entries {
        super::check_chosen_name("an upstream", name, *at, complaints);
        let Value::Table(given) = &node.value else { continue };
        checked.push(Upstream {
            name: name.clone(),
            targets: targets(&given.words("targets"), complaints),
            sandbox: targets(&given.words("sandbox"), complaints),
            connect_timeout: given.duration("connect_timeout"),
            timeout: given.duration("timeout"),
            retries: given.count("retries"),
            health: health(given.table("health"), complaints),
            http2: given.bool("http2"),
            tls: tls(given.table("tls"), complaints),
            set_headers: set_headers(given.table("set_headers"), identity_prefix, complaints),
        });
    }
    checked
}

fn targets(words: &[Word<'_>], complaints: &mut Complaints<'_>) -> Vec<Target> {
    let mut targets = Vec::with_capacity(words.len());
    for word in words {
        match target(word.text) {
            Some(target) => targets.push(target),
            None => complaints.problem(
                word.at,
                "a target must be \"http://HOST\", \"http://HOST:PORT\" or the same with \
                 `https`, with nothing before the host or behind the port",
            ),
        }
    }
    targets
}

/// Takes `http://HOST[:PORT]` apart (RFC 3986 section 3.2, without user information).
fn target(text: &str) -> Option<Target> {
    let (tls, authority) = match text.strip_prefix("https://") {
        Some(authority) => (true, authority),
        None => (false, text.strip_prefix("http://")?),
    };
    let authority: Authority = authority.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let host = match authority.host().strip_prefix('[') {
        Some(rest) => {
            let address = rest.strip_suffix(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            address
        }
        None => authority.host(),
    };
    let in_host = |b: u8| b.is_ascii_alphanumeric() || b"-._:".contains(&b);
    if host.is_empty() || !host.bytes().all(in_host) {
        return None;
    }
    let written = &authority.as_str()[authority.host().len()..];
    let port = match written.strip_prefix(':') {
        Some(port) => port.parse().ok().filter(|port| *port != 0)?,
        None if written.is_empty() && tls => 443,
        None if written.is_empty() => 80,
        None => return None,
    };
    let (authority, host) = (authority.to_string(), host.to_owned());
    (!tls || is_server_name(&host)).then_some(Target { tls, authority, host, port })
}

fn health(given: &Table, complaints: &mut Complaints<'_>) -> Option<Health> {
    let path = given.word("path").filter(|path| !path.text.is_empty())?;
    let Some(asked) = path.text.starts_with('/').then(|| path.text.parse().ok()).flatten() else {
        complaints.problem(path.at, format!("the path {path} must begin with `/`"));
        return None;
    };
    Some(Health { path: asked, interval: given.duration("interval") })
}

/// What the files hold is looked at by who serves.
fn tls(given: &Table, complaints: &mut Complaints<'_>) -> ClientSettings {
    let filled = |name: &str| given.word(name).filter(|word| !word.text.is_empty());
    if let (Some(word), None) | (None, Some(word)) = (filled("cert"), filled("key")) {
        complaints.problem(word.at, "`cert` and `key` are given together");
    }
    if let Some(name) = filled("server_name").filter(|name| !is_server_name(name.text)) {
        complaints.problem(name.at, format!("{name} is no host's name or address"));
    }
    files::upstream_tls(given)
}

fn set_headers(
    headers: &Table,
    identity_prefix: &str,
    complaints: &mut Complaints<'_>,
) -> Vec<(HeaderName, HeaderValue)> {
    let mut set: Vec<(HeaderName, HeaderValue)> = Vec::new();
    for (name, at, node) in &headers.entries {
        let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
            complaints.problem(*at, format!("`{name}` is no header's name"));
            continue;
        };
        if NOT_TO_SET.contains(&header.as_str()) || header.as_str().starts_with(identity_prefix) {
            complaints.problem(*at, format!("`{name}` is the gateway's own to set"));
        }
        if set.iter().any(|(known, _)| *known == header) {
            complaints.problem(*at, format!("`{name}` is set twice"));
        }
        let value = node.word().and_then(|word| HeaderValue::from_str(word.text).ok());
        let Some(mut value) = value else {
            complaints.problem(
                node.at,
                format!("the value of `{name}` has a character that no header's value has"),
            );
            continue;
        };
        value.set_sensitive(true);
        set.push((header, value));
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("http://127.0.0.1:9000", "127.0.0.1", 9000),
            ("http://api.internal", "api.internal", 80),
            ("http://my_service:81", "my_service", 81),
            ("http://[::1]:9000", "::1", 9000),
            ("http://[2001:db8::1]", "2001:db8::1", 80),
            ("https://api.internal", "api.internal", 443),
            ("https://[::1]:9443", "::1", 9443),
        ] {
            let target = target(text).unwrap();
            assert_eq!((target.host.as_str(), target.port), (host, port), "{text}");
            assert_eq!(target.tls, text.starts_with("https"));
            assert_eq!(Some(target.authority.as_str()), text.split("//").nth(1));
        }
    }

    #[test]
    fn what_is_more_or_less_than_that_is_no_target() {
        for text in [
            "",
            "127.0.0.1:9000",
            "http://",
            "http://:80",
            "http://a:",
            "http://a:0",
            "http://a:65536",
            "http://a:x",
            "http://a/",
            "http://a/b",
            "http://a?b",
            "http://u@a",
            "http://u:p@a",
            "http://[::1",
            "http://[a]",
            "http://::1",
            "http://a b",
            "HTTP://a",
            "https://a/",
            "https://-",
            "http://ä",
            "http://a%20b",
            "ftp://a",
            "http://[::1]x",
        ] {
            assert!(target(text).is_none(), "{text}");
        }
    }
}
