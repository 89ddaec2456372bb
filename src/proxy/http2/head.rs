//! What a request's head may look like over HTTP/2, and what is made of it for the rest of its way.
//!
//! The library has refused by then, with a reset of the stream, what RFC 9113 section 8 calls
//! malformed: names in upper case, control characters, connection-specific fields, pseudo-header
//! fields that are missing, doubled or behind others, a Content-Length that is not the body's. It
//! also cuts a `#` and what follows off the path before anybody sees it, so that what is matched
//! and what is sent on are the same even then.

use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::{HeaderMap, HeaderValue, Method, Request};

use super::super::head::{self, MAX_FIELDS};
use crate::domain::{Reason, Refusal};

/// `": "` and CRLF, which HTTP/1.1 writes around a name and its value.
const AROUND_FIELD: usize = 4;

/// Checks a head by the rules that HTTP/1.1's are checked by. `max_bytes` bounds what it would have
/// measured there.
pub(super) fn inspect<B>(request: &Request<B>, max_bytes: usize) -> Result<(), Refusal> {
    let (uri, headers) = (request.uri(), request.headers());
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    let authority = uri.authority().map(|authority| authority.as_str().as_bytes());
    let line = request.method().as_str().len() + target.len() + authority.map_or(0, <[u8]>::len);
    let fields: usize =
        headers.iter().map(|(name, value)| name.as_str().len() + value.len() + AROUND_FIELD).sum();
    if headers.len() > MAX_FIELDS || line + fields > max_bytes {
        return Err(Reason::HeadersTooLarge.into());
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refusal::BadRequest("more than one Content-Length"));
    }
    check_host(authority, headers)?;
    // CONNECT has no path, and is refused for itself.
    if request.method() == Method::CONNECT {
        return Ok(());
    }
    head::check_target(request.method().as_str(), target.as_bytes())
}

/// RFC 9113 section 8.3.1: the host is said by `:authority` or by Host, and if by both, alike.
fn check_host(authority: Option<&[u8]>, headers: &HeaderMap) -> Result<(), Refusal> {
    let mut hosts = headers.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let host = match (authority, hosts.next()) {
        (None, None) => return Err(Refusal::BadRequest("no Host")),
        (Some(one), None) | (None, Some(one)) => one,
        (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host) => authority,
        (Some(_), Some(_)) => return Err(Refusal::BadRequest("Host differs from :authority")),
    };
    if hosts.next().is_some() {
        return Err(Refusal::BadRequest("more than one Host"));
    }
    if !head::is_host(host) {
        return Err(Refusal::BadRequest("an invalid Host"));
    }
    Ok(())
}

/// Puts a cookie that came in several fields into one, as everything else but HTTP/2 expects it
/// (RFC 9113 section 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    let cookie = HeaderValue::from_bytes(&crumbs.join(&b"; "[..]));
    headers.insert(COOKIE, cookie.expect("values joined by a separator are a value"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(uri: &str, fields: &[(&'static str, &str)]) -> Result<(), Refusal> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        inspect(&request.body(()).unwrap(), 1_000)
    }

    #[test]
    fn the_host_is_said_once_or_twice_alike() {
        assert_eq!(outcome("http://a/b", &[]), Ok(()));
        assert_eq!(outcome("http://a:80/b?c", &[("host", "A:80")]), Ok(()));
        assert_eq!(outcome("/b", &[("host", "[::1]:80")]), Ok(()));
        for (uri, fields) in [
            ("/b", &[][..]),
            ("http://a/b", &[("host", "b")]),
            ("http://a/b", &[("host", "a:80")]),
            ("http://a/b", &[("host", "a"), ("host", "a")]),
            ("/b", &[("host", "a"), ("host", "b")]),
            ("/b", &[("host", "a b")]),
            ("/b", &[("host", "")]),
            ("http://user@a/b", &[]),
        ] {
            assert!(outcome(uri, fields).is_err(), "{uri} {fields:?}");
        }
    }

    #[test]
    fn a_target_is_a_path_of_visible_characters() {
        assert_eq!(outcome("/a?b={c}", &[("host", "a")]), Ok(()));
        for uri in ["http://a?b", "*", "/caf\u{e9}", "/a?b=\u{e9}"] {
            assert!(outcome(uri, &[("host", "a")]).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_head_is_as_large_as_http_1_would_write_it() {
        let too_large = Err(Reason::HeadersTooLarge.into());
        let fields = |length: usize| outcome("http://a/", &[("b", &"x".repeat(length))]);
        // `GET`, `/` and `a`; `b`, the value, and four around it.
        assert_eq!(fields(1_000 - 5 - 5), Ok(()));
        assert_eq!(fields(1_000 - 5 - 5 + 1), too_large);
        let mut request = Request::get("http://a/");
        for _ in 0..=MAX_FIELDS {
            request = request.header("a", "b");
        }
        assert_eq!(inspect(&request.body(()).unwrap(), 100_000), too_large);
    }

    #[test]
    fn two_lengths_are_refused_even_if_they_agree() {
        let twice = [("content-length", "1"), ("content-length", "1")];
        assert!(outcome("http://a/", &twice).is_err());
    }

    #[test]
    fn the_crumbs_of_a_cookie_are_joined() {
        let mut headers = HeaderMap::new();
        join_cookies(&mut headers);
        assert!(headers.is_empty());
        for crumb in ["a=1", "b=2", "c=3"] {
            headers.append(COOKIE, HeaderValue::from_static(crumb));
        }
        join_cookies(&mut headers);
        let joined: Vec<&HeaderValue> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(joined, ["a=1; b=2; c=3"]);
    }
}
