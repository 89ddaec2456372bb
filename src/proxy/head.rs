//! Step 1: what a request's head may look like, decided on its bytes.
//!
//! The one rule: a head that two readers could read differently is read by nobody. [`Scan`] finds
//! where a head ends while it arrives, [`read`] looks at the whole of it, before anything is made of
//! it. What they let pass, any HTTP library can read.

use std::mem::MaybeUninit;
use std::net::Ipv6Addr;

use crate::domain::{Reason, Refusal};

/// Header fields a head may have.
pub const MAX_FIELDS: usize = 100;
/// Bytes of a target or of a field's name, whatever the head may have: the types of HTTP take no
/// longer ones.
const MAX_PART: usize = u16::MAX as usize - 1;
/// Digits of a Content-Length: all numbers of so many are far below what 64 bits can count.
const MAX_DIGITS: usize = 18;

/// How the body behind a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
}

/// How far a head that is still coming has been looked at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    /// Bytes in which every end of a line was found.
    seen: usize,
    /// Where the line begins that has not ended yet.
    line: usize,
    has_request_line: bool,
}

impl Scan {
    /// Looks at what has come of a head, the bytes seen before included; its length with its empty
    /// line, `None` while that has not come.
    ///
    /// Refused as soon as it is seen: what is no HTTP/1 at all, a line that ends with LF alone (RFC
    /// 9112 section 2.2 lets a server be strict), more than `max` bytes. One empty line before the
    /// request is skipped and counted to the head.
    pub fn find_end(&mut self, bytes: &[u8], max: usize) -> Result<Option<usize>, Refusal> {
        let bytes = &bytes[..bytes.len().min(max)];
        for at in memchr::memchr_iter(b'\n', &bytes[self.seen..]) {
            let end = self.seen + at;
            self.check_begin(bytes)?;
            let line = bytes[self.line..end].strip_suffix(b"\r");
            let line = line.ok_or(Refusal::BadRequest("a line does not end with CRLF"))?;
            let is_first = self.line == 0;
            self.line = end + 1;
            match line {
                b"" if self.has_request_line => return Ok(Some(self.line)),
                b"" if is_first => {}
                _ if self.has_request_line => {}
                _ => {
                    check_version(line)?;
                    self.has_request_line = true;
                }
            }
        }
        self.check_begin(bytes)?;
        self.seen = bytes.len();
        if self.seen == max {
            return Err(Reason::HeadersTooLarge.into());
        }
        Ok(None)
    }

    /// Whether anything of a head has come, but for an empty line before it.
    pub fn has_begun(&self) -> bool {
        self.has_request_line || self.seen > self.line
    }

    /// A method begins with a letter or the like; TLS and other protocols mostly do not.
    fn check_begin(&self, bytes: &[u8]) -> Result<(), Refusal> {
        match &bytes[self.line..] {
            _ if self.has_request_line => Ok(()),
            [] | [b'\r'] | [b'\r', b'\n', ..] => Ok(()),
            [first, ..] if is_token(*first) => Ok(()),
            [b'\n', ..] => Err(Refusal::BadRequest("a line does not end with CRLF")),
            _ => Err(Refusal::BadRequest("not HTTP/1.1")),
        }
    }
}

/// HTTP/0.9 would wait for an answer here, and HTTP/2 goes on in another way.
fn check_version(line: &[u8]) -> Result<(), Refusal> {
    if line.ends_with(b" HTTP/1.1") || line.ends_with(b" HTTP/1.0") {
        return Ok(());
    }
    Err(Refusal::BadRequest("not HTTP/1.1"))
}

/// A head that was looked at and can be read in one way only, as it lies in its bytes.
pub struct Checked<'h> {
    /// The method, as it was sent.
    pub method: &'h str,
    /// The target, as it was sent.
    pub target: &'h str,
    /// HTTP/1.1, or else 1.0.
    pub http_11: bool,
    /// The fields in the order in which they were sent, their values without the space around them.
    pub fields: &'h [httparse::Header<'h>],
    /// How the body ends.
    pub framing: Framing,
}

/// Checks a complete head (RFC 9112 sections 2 to 6) and says how its body ends.
pub fn inspect(head: &[u8]) -> Result<Framing, Refusal> {
    read(head, |checked| checked.framing)
}

/// Checks a complete head, as [`inspect`] does, and has something made of it.
pub fn read<T>(head: &[u8], make: impl FnOnce(&Checked<'_>) -> T) -> Result<T, Refusal> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(head, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Reason::HeadersTooLarge.into()),
        _ => return Err(Refusal::BadRequest("the head is malformed")),
    }
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let http_11 = request.version == Some(1);
    check_target(method, target.as_bytes())?;
    let framing = fields_framing(request.headers, http_11)?;
    Ok(make(&Checked { method, target, http_11, fields: request.headers, framing }))
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
            0..=MAX_PART => continue,
            _ => return Err(Reason::HeadersTooLarge.into()),
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
        (None, Some(length)) => content_length(length)
            .map(Framing::Length)
            .ok_or(Refusal::BadRequest("an invalid Content-Length")),
        (None, None) => Ok(Framing::Length(0)),
    }
}

/// A length in bytes: digits and nothing else, not even a list of the same length twice.
pub fn content_length(value: &[u8]) -> Option<u64> {
    let digits = value.iter().all(u8::is_ascii_digit) && value.len() <= MAX_DIGITS;
    let text = std::str::from_utf8(value).ok().filter(|_| digits)?;
    text.parse().ok()
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
pub fn is_host(host: &[u8]) -> bool {
    let part = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=".contains(b);
    let (name, digits) = match host.iter().rposition(|b| *b == b':') {
        Some(colon) if !host.ends_with(b"]") => (&host[..colon], &host[colon + 1..]),
        _ => (host, &b""[..]),
    };
    let name_is_valid = match name.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        Some(v6) => std::str::from_utf8(v6).is_ok_and(|v6| v6.parse::<Ipv6Addr>().is_ok()),
        None => !name.is_empty() && name.iter().all(part),
    };
    name_is_valid && digits.iter().all(u8::is_ascii_digit)
}

/// The forms of RFC 9112 section 3.2, of bytes that the type of a target takes and takes nothing off.
/// Which of them a path may have is [`super::path`]'s to say.
pub fn check_target(method: &str, target: &[u8]) -> Result<(), Refusal> {
    if target.len() > MAX_PART {
        return Err(Reason::HeadersTooLarge.into());
    }
    if target.contains(&b'#') {
        return Err(Refusal::BadRequest("a fragment in the target"));
    }
    let query = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(query);
    if path.iter().any(|b| !b.is_ascii_graphic() || b"<>`".contains(b)) {
        return Err(Refusal::BadRequest("a character in the path that must be percent-encoded"));
    }
    if query.iter().any(|b| !b.is_ascii_graphic() || b"\"<>".contains(b)) {
        return Err(Refusal::BadRequest("a character in the query that must be percent-encoded"));
    }
    let has_form = match path {
        [b'/', ..] => true,
        _ if method == "CONNECT" => query.is_empty() && is_host(path),
        b"*" => method == "OPTIONS" && query.is_empty(),
        _ => is_absolute(path),
    };
    if !has_form {
        return Err(Refusal::BadRequest("the target is no path"));
    }
    Ok(())
}

/// `http://` or `https://`, a host without user, and a path, if any.
fn is_absolute(path: &[u8]) -> bool {
    let Some(scheme) = memchr::memmem::find(path, b"://") else { return false };
    let (scheme, rest) = (&path[..scheme], &path[scheme + 3..]);
    let authority = rest.split(|b| *b == b'/').next().unwrap_or_default();
    (scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https"))
        && is_host(authority)
}

/// `tchar` of RFC 9110 section 5.6.2: what methods and fields' names are made of.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
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
            "GET /a<b HTTP/1.1\nHost: a\n\n",
            "GET /a?\"b\" HTTP/1.1\nHost: a\n\n",
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
        let find_end = |bytes: &str| Scan::default().find_end(bytes.as_bytes(), 100);
        assert_eq!(find_end("GET / HTTP/1.1\r\nHost: a\r\n"), Ok(None));
        assert_eq!(find_end("GET / HTTP/1.1\r\nA: b\r\n\r\nbody"), Ok(Some(24)));
        assert_eq!(find_end("\r\nGET / HTTP/1.1\r\nA: b\r\n\r\n"), Ok(Some(26)));
        for head in
            ["GET / HTTP/1.1\nHost: a\n\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "\n", "\r\n\n"]
        {
            let refusal = Refusal::BadRequest("a line does not end with CRLF");
            assert_eq!(find_end(head), Err(refusal), "{head:?}");
        }
    }

    #[test]
    fn what_is_no_http_1_is_refused_as_soon_as_it_is_seen() {
        for begin in [
            "GET /\r\n",
            "PRI * HTTP/2.0\r\n",
            "SSH-2.0-a\r\n",
            "\u{16}\u{3}\u{1}",
            "\r\n\r\n",
            "\rG",
            " GET",
            "\0",
        ] {
            let found = Scan::default().find_end(begin.as_bytes(), 100);
            assert_eq!(found, Err(Refusal::BadRequest("not HTTP/1.1")), "{begin:?}");
        }
    }

    #[test]
    fn what_the_library_could_not_hold_is_too_large() {
        let long = "x".repeat(MAX_PART);
        for head in [
            format!("GET /{long} HTTP/1.1\nHost: a\n\n"),
            format!("GET / HTTP/1.1\nHost: a\nx{long}: a\n\n"),
        ] {
            assert_eq!(framing(&head), Err(Reason::HeadersTooLarge.into()));
        }
    }

    #[test]
    fn every_target_that_passes_can_be_read_by_the_library_and_nothing_is_taken_off() {
        let target = |method: &str, target: &str| {
            framing(&format!("{method} {target} HTTP/1.1\nHost: a\n\n")).is_ok()
        };
        for byte in (0..=127).map(char::from) {
            for text in [format!("/a{byte}b"), format!("/a?b{byte}c"), format!("http://a/{byte}")] {
                let uri = text.parse::<http::Uri>();
                let is_whole = uri.is_ok_and(|uri| uri.to_string() == text);
                assert!(!target("GET", &text) || is_whole, "{text:?}");
                assert!(target("GET", &text) || !is_whole, "{text:?}");
            }
        }
        for good in ["http://a", "HTTPS://a:80?b", "http://[::1]:80/b?c", "http://a:/"] {
            assert!(target("GET", good), "{good}");
            assert!(good.parse::<http::Uri>().is_ok(), "{good}");
        }
        for bad in ["a", "a/b", "*", "?a", "http:/a", "http:///a", "http://u@a/", "ftp://a/", "//"]
        {
            assert_eq!(target("GET", bad), bad == "//", "{bad}");
        }
        assert!(target("OPTIONS", "*") && !target("OPTIONS", "*?a"));
        assert!(target("CONNECT", "a:443") && !target("CONNECT", "http://a"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_inspection_panic(head in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = Scan::default().find_end(&head, 200);
            let _ = inspect(&head);
        }
    }
}
