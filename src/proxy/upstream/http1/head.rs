//! An answer's head (RFC 9112 sections 4 to 6): where it ends, what it says, how its body ends.
//!
//! Refused beyond what the parser refuses: lines that end with LF alone or stand before the status
//! line, more than one length, a length beside a coding, any coding but `chunked`.

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::Error;
use crate::proxy::head::{MAX_FIELDS, content_length};

/// Bytes of an answer's head at most.
const MAX_HEAD: usize = 64 * 1024;

/// How an answer's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With the last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// What a head says.
#[derive(Debug)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: StatusCode,
    /// All fields.
    pub(super) headers: HeaderMap,
    /// Of answers that never have a body, no bytes.
    pub(super) framing: Framing,
    /// Whether the connection may have another request behind this one.
    pub(super) keeps: bool,
}

/// How far a head that is still coming has been looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// Bytes in which every end of a line was found.
    seen: usize,
    /// Where the line begins that has not ended yet.
    line: usize,
}

impl Scan {
    /// Looks at what has come of a head, the bytes seen before included; its length with its empty
    /// line, `None` while that has not come.
    pub(super) fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Error> {
        let bytes = &bytes[..bytes.len().min(MAX_HEAD)];
        for at in memchr::memchr_iter(b'\n', &bytes[self.seen..]) {
            let end = self.seen + at;
            match &bytes[self.line..end] {
                b"\r" if self.line == 0 => {
                    return Err(Error::Malformed("an empty line before the status line"));
                }
                b"\r" => return Ok(Some(end + 1)),
                [.., b'\r'] => self.line = end + 1,
                _ => return Err(Error::Malformed("a line does not end with CRLF")),
            }
        }
        self.seen = bytes.len();
        if self.seen == MAX_HEAD {
            return Err(Error::Malformed("its head is too long"));
        }
        Ok(None)
    }
}

/// Reads a complete head, whose fields' values become parts of it. `head_only`: it answers HEAD.
/// `headers`: an empty map to use.
pub(super) fn parse(
    head: &Bytes,
    head_only: bool,
    mut headers: HeaderMap,
) -> Result<Answer, Error> {
    let mut fields = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let parser = httparse::ParserConfig::default();
    match parser.parse_response_with_uninit_headers(&mut response, head, &mut fields) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Error::Malformed("it has too many fields"));
        }
        _ => return Err(Error::Malformed("its head is malformed")),
    }
    let status = StatusCode::from_u16(response.code.unwrap_or_default())
        .map_err(|_| Error::Malformed("its status is none"))?;
    let http_11 = response.version == Some(1);
    let mut deciding = Deciding { keeps: http_11, ..Deciding::default() };
    headers
        .try_reserve(response.headers.len())
        .map_err(|_| Error::Malformed("it has too many fields"))?;
    for field in response.headers {
        let name = HeaderName::from_bytes(field.name.as_bytes())
            .map_err(|_| Error::Malformed("a field's name is none"))?;
        let value = HeaderValue::from_maybe_shared(head.slice_ref(field.value))
            .map_err(|_| Error::Malformed("a field's value is none"))?;
        deciding.look_at(&name, &value)?;
        headers.append(name, value);
    }
    let framing = deciding.framing(http_11)?;
    let framing = if head_only || is_bodiless(status) { Framing::Length(0) } else { framing };
    let keeps = deciding.keeps && framing != Framing::UntilClose;
    Ok(Answer { status, headers, framing, keeps })
}

/// RFC 9110 sections 15.2, 15.3.5 and 15.4.5.
fn is_bodiless(status: StatusCode) -> bool {
    status.is_informational() || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

/// What of the fields decides where the body ends and whether the connection goes on.
#[derive(Default)]
struct Deciding {
    length: Option<u64>,
    chunked: bool,
    keeps: bool,
}

impl Deciding {
    fn look_at(&mut self, name: &HeaderName, value: &HeaderValue) -> Result<(), Error> {
        if *name == CONTENT_LENGTH {
            let length = content_length(value.as_bytes())
                .ok_or(Error::Malformed("its Content-Length is no number"))?;
            if self.length.replace(length).is_some() {
                return Err(Error::Malformed("it has more than one Content-Length"));
            }
        } else if *name == TRANSFER_ENCODING {
            if self.chunked || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Error::Malformed("it has a Transfer-Encoding other than chunked"));
            }
            self.chunked = true;
        } else if *name == CONNECTION {
            let mut options = value.as_bytes().split(|byte| *byte == b',');
            self.keeps &= !options.any(|it| it.trim_ascii().eq_ignore_ascii_case(b"close"));
        }
        Ok(())
    }

    fn framing(&self, http_11: bool) -> Result<Framing, Error> {
        match (self.chunked, self.length) {
            (true, Some(_)) => {
                Err(Error::Malformed("it has both Content-Length and Transfer-Encoding"))
            }
            (true, None) if http_11 => Ok(Framing::Chunked),
            (true, None) => Err(Error::Malformed("it has a Transfer-Encoding in HTTP/1.0")),
            (false, Some(length)) => Ok(Framing::Length(length)),
            (false, None) => Ok(Framing::UntilClose),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(head: &str) -> Result<Answer, Error> {
        let head = Bytes::from(format!("HTTP/1.1 {head}\n\n").replace('\n', "\r\n"));
        assert_eq!(Scan::default().find_end(&head).expect("it is well"), Some(head.len()));
        parse(&head, false, HeaderMap::new())
    }

    fn framing(head: &str) -> Framing {
        answer(head).expect("it is read").framing
    }

    #[test]
    fn a_head_says_how_its_body_ends() {
        assert_eq!(framing("200 OK\nContent-Length: 42"), Framing::Length(42));
        assert_eq!(framing("200 OK\nTransfer-Encoding: Chunked"), Framing::Chunked);
        assert_eq!(framing("200"), Framing::UntilClose);
        for none in ["204 No Content", "304 Not Modified\nContent-Length: 5", "101 Switching"] {
            assert_eq!(framing(none), Framing::Length(0), "{none}");
        }
        let head = Bytes::from_static(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        assert_eq!(parse(&head, true, HeaderMap::new()).unwrap().framing, Framing::Length(0));
    }

    #[test]
    fn fields_are_kept_as_they_came() {
        let answer =
            answer("418 Teapot\nSet-Cookie: a\nset-cookie:\t b \nX-Odd: caf\u{e9}").unwrap();
        assert_eq!(answer.status, 418);
        let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["a", "b"]);
        assert_eq!(answer.headers["x-odd"].as_bytes(), "caf\u{e9}".as_bytes());
    }

    #[test]
    fn a_connection_goes_on_unless_it_is_said_to_end() {
        assert!(answer("200 OK\nContent-Length: 0").unwrap().keeps);
        assert!(answer("200 OK\nContent-Length: 0\nConnection: x, keep-alive").unwrap().keeps);
        assert!(!answer("200 OK\nContent-Length: 0\nConnection: x , Close").unwrap().keeps);
        assert!(!answer("200 OK").unwrap().keeps, "it ends with its answer");
        assert!(answer("204 No Content").unwrap().keeps);
        let old = Bytes::from_static(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert!(!parse(&old, false, HeaderMap::new()).unwrap().keeps);
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let many = format!("200 OK{}", "\nX: y".repeat(MAX_FIELDS + 1));
        for head in [
            "200 OK\nContent-Length: 1\nContent-Length: 1",
            "200 OK\nContent-Length: 1, 1",
            "200 OK\nContent-Length: +1",
            "200 OK\nContent-Length:",
            "200 OK\nContent-Length: 1000000000000000000",
            "200 OK\nContent-Length: 1\nTransfer-Encoding: chunked",
            "200 OK\nTransfer-Encoding: gzip, chunked",
            "200 OK\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked",
            "200 OK\nTransfer-Encoding: identity",
            "204 No Content\nContent-Length: x",
            "200 OK\nX: a\n b",
            "200 OK\nX : a",
            "200 OK\n X: a",
            "200 OK\n: a",
            "200 OK\nX: \0",
            "200 OK\nno colon",
            "2x0 OK",
            "099 Early",
            "200 \u{7f}",
            &many,
        ] {
            assert!(matches!(answer(head), Err(Error::Malformed(_))), "{head:?}");
        }
        for whole in
            ["HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "HTTP/2 200 OK\r\n\r\n"]
        {
            assert!(
                parse(&Bytes::from_static(whole.as_bytes()), false, HeaderMap::new()).is_err(),
                "{whole:?}"
            );
        }
    }

    #[test]
    fn an_end_is_found_wherever_the_head_is_cut_and_bare_line_feeds_are_refused() {
        let head = b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nbody\n";
        for cut in 0..head.len() {
            let mut scan = Scan::default();
            let first = scan.find_end(&head[..cut]).expect("it is well");
            let end = first.or_else(|| scan.find_end(head).expect("it is well"));
            assert_eq!(end, Some(25), "{cut}");
        }
        for head in ["\r\nHTTP/1.1 200 OK\r\n\r\n", "\n", "HTTP/1.1 200 OK\n\n", "H\r\nX: y\n"] {
            assert!(Scan::default().find_end(head.as_bytes()).is_err(), "{head:?}");
        }
        let long = "x".repeat(MAX_HEAD);
        assert!(Scan::default().find_end(long.as_bytes()).is_err());
        assert!(matches!(Scan::default().find_end(&long.as_bytes()[1..]), Ok(None)));
    }
}
