//! Step 1: what a request's head may look like, decided on its bytes.
//!
//! The one rule: a head that two readers could read differently is read by nobody. [`inspect`] looks
//! at the raw bytes before the HTTP library does, which forgives more than it tells.

use crate::domain::{Reason, Refusal};

/// Header fields a head may have.
pub const MAX_FIELDS: usize = 100;

/// How the body behind a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

/// How far a head has come, looked at as it arrives: lines end with CRLF and nothing else.
///
/// Gives the length of the head with its empty line, `None` while that has not come, or a refusal
/// for a line that ends with LF alone (RFC 9112 section 2.2 lets a server be strict).
pub fn find_end(bytes: &[u8], from: usize) -> Result<Option<usize>, Refusal> {
    for at in memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| at + from) {
        if at == 0 || bytes[at - 1] != b'\r' {
            return Err(Refusal::BadRequest("a line of the head does not end with CRLF"));
        }
        if at >= 3 && bytes[at - 3..at] == *b"\r\n\r" {
            return Ok(Some(at + 1));
        }
    }
    Ok(None)
}

/// Checks a complete head (RFC 9112 sections 2 to 6) and says how its body ends.
pub fn inspect(head: &[u8]) -> Result<Framing, Refusal> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    match request.parse(head) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Reason::HeadersTooLarge.into()),
        _ => return Err(Refusal::BadRequest("the head is malformed")),
    }
    check_target(request.path.unwrap_or_default().as_bytes())?;
    fields_framing(request.headers, request.version == Some(1))
}

/// What of the fields decides where the body ends and whom the request is for.
#[derive(Default)]
struct Deciding<'a> {
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
    host: Option<&'a [u8]>,
}

fn fields_framing(fields: &[httparse::Header<'_>], http_11: bool) -> Result<Framing, Refusal> {
    let mut deciding = Deciding::default();
    for field in fields {
        let (place, twice) = match field.name.len() {
            4 if field.name.eq_ignore_ascii_case("host") => {
                (&mut deciding.host, "more than one Host")
            }
            14 if field.name.eq_ignore_ascii_case("content-length") => {
                (&mut deciding.length, "more than one Content-Length")
            }
            17 if field.name.eq_ignore_ascii_case("transfer-encoding") => {
                (&mut deciding.coding, "more than one Transfer-Encoding")
            }
            _ => continue,
        };
        if place.replace(field.value).is_some() {
            return Err(Refusal::BadRequest(twice));
        }
    }
    check_host(deciding.host, http_11)?;
    match (deciding.coding, deciding.length) {
        (Some(_), Some(_)) => Err(Refusal::BadRequest("both Content-Length and Transfer-Encoding")),
        (Some(coding), None) if http_11 && coding.eq_ignore_ascii_case(b"chunked") => {
            Ok(Framing::Chunked)
        }
        (Some(_), None) => Err(Refusal::BadRequest("a Transfer-Encoding other than chunked")),
        (None, Some(length)) => content_length(length).map(Framing::Length),
        (None, None) => Ok(Framing::Length(0)),
    }
}

fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(value).ok().filter(|_| digits);
    text.and_then(|text| text.parse().ok()).ok_or(Refusal::BadRequest("an invalid Content-Length"))
}

/// RFC 9112 section 3.2: exactly one valid Host; HTTP/1.0 may lack it.
fn check_host(host: Option<&[u8]>, http_11: bool) -> Result<(), Refusal> {
    match host {
        None if http_11 => Err(Refusal::BadRequest("no Host")),
        Some(host) if !is_host(host) => Err(Refusal::BadRequest("an invalid Host")),
        _ => Ok(()),
    }
}

/// `uri-host [ ":" port ]` of RFC 3986 without percent-escapes, which no host name has.
fn is_host(host: &[u8]) -> bool {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(b);
    let (name, digits) = match host.iter().rposition(|b| *b == b':') {
        Some(colon) if !host.ends_with(b"]") => (&host[..colon], &host[colon + 1..]),
        _ => (host, &b""[..]),
    };
    let name_is_valid = match name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        Some(v6) => !v6.is_empty() && v6.iter().all(|b| b.is_ascii_hexdigit() || b":.".contains(b)),
        None => !name.is_empty() && name.iter().all(part),
    };
    name_is_valid && digits.iter().all(u8::is_ascii_digit)
}

/// Bytes that no target has: they hide where the path ends, or the HTTP library takes them off.
fn check_target(target: &[u8]) -> Result<(), Refusal> {
    if target.contains(&b'#') {
        return Err(Refusal::BadRequest("a fragment in the target"));
    }
    let query = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(query);
    let odd_in_path = |b: &u8| !b.is_ascii_graphic() || b"\"<>\\^`{|}".contains(b);
    // Unencoded quotes, braces and bars are common in queries, and no route looks at them.
    let odd_in_query = |b: &u8| !b.is_ascii_graphic() || b"<>\\^`".contains(b);
    if path.iter().any(odd_in_path) {
        return Err(Refusal::BadRequest("a character in the path that must be percent-encoded"));
    }
    if query.iter().any(odd_in_query) {
        return Err(Refusal::BadRequest("a character in the query that must be percent-encoded"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framing(head: &str) -> Result<Framing, Refusal> {
        inspect(head.replace('\n', "\r\n").as_bytes())
    }

    #[test]
    fn an_ordinary_head_says_how_its_body_ends() {
        assert_eq!(framing("GET / HTTP/1.1\nHost: a\n\n"), Ok(Framing::Length(0)));
        assert_eq!(framing("GET / HTTP/1.0\n\n"), Ok(Framing::Length(0)));
        assert_eq!(
            framing("POST /a?b HTTP/1.1\nHost: a:80\nContent-Length: 42\n\n"),
            Ok(Framing::Length(42))
        );
        assert_eq!(
            framing("POST / HTTP/1.1\nHost: [::1]:80\nTransfer-Encoding: Chunked\n\n"),
            Ok(Framing::Chunked)
        );
    }

    #[test]
    fn a_head_that_could_be_read_in_two_ways_is_refused() {
        for fields in [
            "Content-Length: 1\nTransfer-Encoding: chunked",
            "Transfer-Encoding: chunked\nContent-Length: 1",
            "Content-Length: 1\nContent-Length: 1",
            "Content-Length: 1\nContent-Length: 2",
            "Content-Length: 1, 1",
            "Content-Length: +1",
            "Content-Length: -1",
            "Content-Length: 0x1",
            "Content-Length:",
            "Content-Length: 99999999999999999999",
            "Transfer-Encoding: chunked, chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked",
            "Transfer-Encoding: ,chunked",
            "Transfer-Encoding:",
            "Host: b",
            "Folded: a\n b",
            "Space : a",
            ": empty",
            "Nul: \0",
            "Return: a\rb",
        ] {
            let head = format!("POST / HTTP/1.1\nHost: a\n{fields}\n\n");
            assert!(framing(&head).is_err(), "{fields:?}");
        }
        for head in [
            "GET / HTTP/1.1\n\n",
            "GET / HTTP/1.1\nHost: a b\n\n",
            "GET / HTTP/1.1\nHost: a/..\n\n",
            "GET / HTTP/1.1\nHost:\n\n",
            "GET / HTTP/1.1\nHost: a:b\n\n",
            "GET / HTTP/1.0\nTransfer-Encoding: chunked\n\n",
            "GET /a#b HTTP/1.1\nHost: a\n\n",
            "GET /a\\b HTTP/1.1\nHost: a\n\n",
            "GET  / HTTP/1.1\nHost: a\n\n",
            "GET / HTTP/2.0\nHost: a\n\n",
            "GET /\nHost: a\n\n",
        ] {
            assert!(framing(head).is_err(), "{head:?}");
        }
    }

    #[test]
    fn too_many_fields_are_too_large_a_head() {
        let fields = "A: b\n".repeat(MAX_FIELDS);
        assert_eq!(
            framing(&format!("GET / HTTP/1.1\nHost: a\n{fields}\n")),
            Err(Reason::HeadersTooLarge.into())
        );
    }

    #[test]
    fn a_head_ends_with_an_empty_line_and_each_line_with_crlf() {
        assert_eq!(find_end(b"GET / HTTP/1.1\r\nHost: a\r\n", 0), Ok(None));
        assert_eq!(find_end(b"GET / HTTP/1.1\r\nA: b\r\n\r\nbody", 0), Ok(Some(24)));
        assert!(find_end(b"GET / HTTP/1.1\nHost: a\n\n", 0).is_err());
        assert!(find_end(b"GET / HTTP/1.1\r\nHost: a\n\r\n", 0).is_err());
        assert!(find_end(b"\n", 0).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_inspection_panic(head in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = find_end(&head, 0);
            let _ = inspect(&head);
        }
    }
}
