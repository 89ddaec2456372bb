//! Where events go: an endpoint's URL, and which events it wants.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use thiserror::Error;

use super::event::EventKind;

/// Longer than any that is meant.
const LONGEST: usize = 2_048;

/// The URL of an endpoint: `http://` or `https://`, a host, and what may stand behind it. Its query
/// may hold what only the endpoint should know, and is not shown.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct WebhookUrl {
    text: String,
    tls: bool,
    host: String,
    port: u16,
}

/// Why a text is no endpoint's URL. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WebhookUrlError {
    /// Not a URL, or not one that can be posted to.
    #[error("it must be \"https://HOST\", with a port and a path where they are needed")]
    Form,
    /// Everybody on the way reads what is sent in clear.
    #[error("it must begin with `https://`")]
    Clear,
    /// Credentials in URLs end in logs.
    #[error("it must hold no user and no password; deliveries are signed")]
    Credentials,
}

impl WebhookUrl {
    /// Takes a URL apart. `clear`: whether `http://` will do.
    pub fn parse(text: &str, clear: bool) -> Result<Self, WebhookUrlError> {
        let printable = text.bytes().all(|b| b.is_ascii_graphic());
        if text.len() > LONGEST || !printable || text.contains(['#', '\\', '"', '<', '>', '`']) {
            return Err(WebhookUrlError::Form);
        }
        let uri: Uri = text.parse().map_err(|_| WebhookUrlError::Form)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(WebhookUrlError::Form),
        };
        let authority = uri.authority().ok_or(WebhookUrlError::Form)?;
        if authority.as_str().contains('@') {
            return Err(WebhookUrlError::Credentials);
        }
        let port = match authority.as_str().strip_prefix(authority.host()) {
            Some("") => {
                if tls {
                    443
                } else {
                    80
                }
            }
            _ => authority.port_u16().filter(|port| *port > 0).ok_or(WebhookUrlError::Form)?,
        };
        let host = host(authority.host()).ok_or(WebhookUrlError::Form)?;
        if !tls && !clear {
            return Err(WebhookUrlError::Clear);
        }
        Ok(Self { text: text.to_owned(), tls, host, port })
    }

    /// As it was written, query and all.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is spoken to over TLS.
    pub fn is_tls(&self) -> bool {
        self.tls
    }

    /// Host name or address, IPv6 without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, 443 or 80 where none was written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as one text, the same for all URLs that lead to one place.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host.to_ascii_lowercase(), self.port)
    }

    /// What `Host` says.
    pub fn authority(&self) -> &str {
        self.parts().0
    }

    /// Path and query, as the request's target.
    pub fn target(&self) -> String {
        match self.parts().1 {
            rest if rest.starts_with('/') => rest.to_owned(),
            rest => format!("/{rest}"),
        }
    }

    /// Without the query's content, for people.
    pub fn shown(&self) -> String {
        match self.text.split_once('?') {
            Some((before, _)) => format!("{before}?***"),
            None => self.text.clone(),
        }
    }

    /// What stands before the path, and the path with all behind it.
    fn parts(&self) -> (&str, &str) {
        let rest = self.text.split_once("://").map_or("", |(_, rest)| rest);
        rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()))
    }
}

/// A host without the brackets of an IPv6 address.
fn host(text: &str) -> Option<String> {
    if let Some(inner) = text.strip_prefix('[') {
        let address: std::net::Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
        return Some(address.to_string());
    }
    let part = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (!text.is_empty() && text.bytes().all(part)).then(|| text.to_owned())
}

impl fmt::Display for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for WebhookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Which events: a kind by its name, all of a group (`key.*`), or all (`*`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventPattern {
    /// `*`.
    All,
    /// `key.*`: what stands before the point.
    Group(String),
    /// One kind.
    One(EventKind),
}

impl EventPattern {
    /// Whether a kind of that name, which a newer keygate may have written, is one of them.
    pub fn matches(&self, kind: &str) -> bool {
        match self {
            Self::All => true,
            Self::Group(group) => is_of(kind, group),
            Self::One(one) => one.name() == kind,
        }
    }
}

impl FromStr for EventPattern {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "*" {
            return Ok(Self::All);
        }
        let group = text.strip_suffix(".*");
        match group.filter(|group| EventKind::ALL.iter().any(|kind| is_of(kind.name(), group))) {
            Some(group) => Ok(Self::Group(group.to_owned())),
            None => text.parse().map(Self::One),
        }
    }
}

fn is_of(kind: &str, group: &str) -> bool {
    kind.split_once('.').is_some_and(|(of, _)| of == group)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> WebhookUrl {
        WebhookUrl::parse(text, true).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_url_is_taken_apart() {
        let parts = |text: &str| {
            let url = url(text);
            (url.host().to_owned(), url.port(), url.authority().to_owned(), url.target())
        };
        let expected = |host: &str, port, authority: &str, target: &str| {
            (host.to_owned(), port, authority.to_owned(), target.to_owned())
        };
        assert_eq!(parts("https://a.example"), expected("a.example", 443, "a.example", "/"));
        assert_eq!(parts("http://a:8/b?c=d"), expected("a", 8, "a:8", "/b?c=d"));
        assert_eq!(parts("https://a?c"), expected("a", 443, "a", "/?c"));
        assert_eq!(parts("https://[::1]:9/x"), expected("::1", 9, "[::1]:9", "/x"));
        assert_eq!(url("https://A.Example/x").place(), url("https://a.example:443/y").place());
    }

    #[test]
    fn what_cannot_be_posted_to_or_tells_too_much_is_refused() {
        for text in [
            "",
            "a",
            "/a",
            "https://",
            "ftp://a",
            "https:///a",
            "https://a:0/",
            "https://a:/",
            "https://a:70000",
            "https://a b",
            "https://a/#b",
            "https://a\\@b",
            "https://ä",
            "https://[::1",
            "https://[a]",
            "https://a/\n",
            "https://%61/",
        ] {
            assert_eq!(WebhookUrl::parse(text, true), Err(WebhookUrlError::Form), "{text}");
        }
        let refused = |text| WebhookUrl::parse(text, false).unwrap_err();
        assert_eq!(refused("http://a"), WebhookUrlError::Clear);
        assert_eq!(refused("https://me:hush@a/b"), WebhookUrlError::Credentials);
        assert_eq!(refused("https://me@a"), WebhookUrlError::Credentials);
    }

    #[test]
    fn a_query_is_never_shown() {
        let url = url("https://a/b?token=hush");
        assert_eq!(format!("{url} {url:?}"), "https://a/b?*** https://a/b?***");
    }

    #[test]
    fn events_are_chosen_by_name_by_group_or_all() {
        let pattern = |text: &str| text.parse::<EventPattern>();
        assert!(pattern("*").unwrap().matches(EventKind::CreditsLow.name()));
        assert!(pattern("key.*").unwrap().matches(EventKind::KeyRotationDue.name()));
        assert!(!pattern("key.*").unwrap().matches(EventKind::CreditsLow.name()));
        assert!(pattern("key.created").unwrap().matches(EventKind::KeyCreated.name()));
        assert!(!pattern("key.created").unwrap().matches(EventKind::KeyRevoked.name()));
        for wrong in ["", "key", "key.", ".*", "k.*", "key.made", "key*", "**", "*.created"] {
            assert!(pattern(wrong).is_err(), "{wrong}");
        }
    }
}
