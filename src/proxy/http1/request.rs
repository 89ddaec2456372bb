//! A request's head, made of its bytes: what is in it still lies there, and nothing is copied but
//! the names of fields.

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT, TE};
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};

use super::super::head::{self, Checked, Framing};
use super::stock::Stock;
use crate::domain::Refusal;

/// Fields that the gateway adds to a request, for which the map has room from the start.
const ADDED: usize = 16;

/// What a head says of the answer and of what comes behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a thing of its own that a head may say")]
pub struct Terms {
    /// HTTP/1.1, or else 1.0.
    pub http_11: bool,
    /// The client would send another request behind the answer.
    pub keep_alive: bool,
    /// It asks by HEAD.
    pub is_head: bool,
    /// It waits for `100 Continue` with its body.
    pub expects_continue: bool,
    /// It reads trailers.
    pub reads_trailers: bool,
}

/// A head that may be served.
#[derive(Debug)]
pub struct Head {
    /// The request without its body.
    pub request: Request<()>,
    /// How its body ends.
    pub framing: Framing,
    /// What else it says.
    pub terms: Terms,
}

impl Head {
    /// Reads a complete head.
    pub fn read(bytes: &Bytes, stock: &Stock) -> Result<Self, Refusal> {
        head::read(bytes, |checked| Self::make(bytes, checked, stock))?
            .ok_or(Refusal::BadRequest("the head is malformed"))
    }

    /// `None` where the types of HTTP would take less than the rules; they do not.
    fn make(bytes: &Bytes, checked: &Checked<'_>, stock: &Stock) -> Option<Self> {
        let shared = |part: &[u8]| bytes.slice_ref(part);
        let mut request = Request::new(());
        *request.method_mut() = Method::from_bytes(checked.method.as_bytes()).ok()?;
        *request.uri_mut() = Uri::from_maybe_shared(shared(checked.target.as_bytes())).ok()?;
        let version = if checked.http_11 { Version::HTTP_11 } else { Version::HTTP_10 };
        *request.version_mut() = version;
        let mut said = Said::default();
        let mut headers = stock.take_map(checked.fields.len() + ADDED);
        for field in checked.fields {
            let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
            said.note(&name, field.value);
            headers.append(name, HeaderValue::from_maybe_shared(shared(field.value)).ok()?);
        }
        *request.headers_mut() = headers;
        let terms = Terms {
            http_11: checked.http_11,
            keep_alive: !said.close && (checked.http_11 || said.keep_alive),
            is_head: request.method() == Method::HEAD,
            expects_continue: said.expects_continue && checked.http_11,
            reads_trailers: said.reads_trailers,
        };
        Some(Self { request, framing: checked.framing, terms })
    }
}

/// What fields say of the terms.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that may stand in a field")]
struct Said {
    close: bool,
    keep_alive: bool,
    expects_continue: bool,
    reads_trailers: bool,
}

impl Said {
    fn note(&mut self, name: &HeaderName, value: &[u8]) {
        if *name == CONNECTION {
            self.close |= lists(value, b"close");
            self.keep_alive |= lists(value, b"keep-alive");
        } else if *name == EXPECT {
            self.expects_continue = value.eq_ignore_ascii_case(b"100-continue");
        } else if *name == TE {
            self.reads_trailers |= lists(value, b"trailers");
        }
    }
}

/// Whether a word stands in a comma-separated list, in any case.
pub(super) fn lists(value: &[u8], word: &[u8]) -> bool {
    value.split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(head: &str) -> Head {
        let bytes = Bytes::from(head.replace('\n', "\r\n"));
        Head::read(&bytes, &Stock::new(0)).unwrap()
    }

    fn terms(line: &str, fields: &str) -> Terms {
        read(&format!("{line}\nHost: a\n{fields}\n")).terms
    }

    #[test]
    fn a_request_is_what_was_sent_and_its_values_lie_where_they_were_read() {
        let bytes = Bytes::from("PUT /a?b HTTP/1.1\r\nHost: a\r\nX-A:  b c \r\nx-a: d\r\n\r\n");
        let Head { request, framing, .. } = Head::read(&bytes, &Stock::new(0)).unwrap();
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::PUT, "/a?b"));
        assert_eq!((request.version(), framing), (Version::HTTP_11, Framing::Length(0)));
        let values: Vec<_> = request.headers().get_all("x-a").iter().collect();
        assert_eq!(values, ["b c", "d"]);
        assert!(bytes.as_ptr_range().contains(&values[0].as_bytes().as_ptr()));
    }

    #[test]
    fn a_connection_is_kept_unless_a_side_says_otherwise() {
        for (line, fields, kept) in [
            ("GET / HTTP/1.1", "", true),
            ("GET / HTTP/1.1", "Connection: a, Close\n", false),
            ("GET / HTTP/1.1", "Connection: close\nConnection: keep-alive\n", false),
            ("GET / HTTP/1.1", "Connection: closed\n", true),
            ("GET / HTTP/1.0", "", false),
            ("GET / HTTP/1.0", "Connection: Keep-Alive\n", true),
            ("GET / HTTP/1.0", "Connection: keep-alive, close\n", false),
        ] {
            assert_eq!(terms(line, fields).keep_alive, kept, "{line} {fields}");
        }
    }

    #[test]
    fn only_http_1_1_is_told_to_continue() {
        let expects = |line: &str| terms(line, "Expect: 100-Continue\n").expects_continue;
        assert!(expects("POST / HTTP/1.1") && !expects("POST / HTTP/1.0"));
        assert!(!terms("POST / HTTP/1.1", "Expect: more\n").expects_continue);
        assert!(terms("HEAD / HTTP/1.1", "TE: gzip, trailers\n").reads_trailers);
        assert!(terms("HEAD / HTTP/1.1", "").is_head);
    }
}
