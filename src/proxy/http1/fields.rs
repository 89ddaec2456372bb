//! What the fields of an answer say of its connection and its body, and what is to be said beside them
//! (RFC 9112 section 6, RFC 9110 sections 6.5 and 8.6).

use http::StatusCode;
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, HeaderName, TRAILER, TRANSFER_ENCODING};

use super::super::head::content_length;
use super::request::{Terms, lists};

/// How the body of an answer ends.
#[derive(Debug)]
pub(super) enum Kind {
    /// So many bytes are still to come.
    Length(u64),
    /// In chunks, with those of the trailers.
    Chunked(Vec<HeaderName>),
    /// Until the connection ends.
    Close,
}

/// The line that says how the body ends.
pub(super) enum Line {
    None,
    Chunked,
    Length(u64),
}

/// What the fields of an answer say of its connection and its body.
pub(super) struct Fields {
    status: StatusCode,
    terms: Terms,
    /// Bytes of the body, where they are known.
    size: Option<u64>,
    /// A length was said, and which.
    length: Option<u64>,
    trailers: Vec<HeaderName>,
    /// The connection ends behind the answer.
    pub(super) close: bool,
    /// The date is said.
    pub(super) date: bool,
}

impl Fields {
    /// Of an answer with that status and a body of so many bytes, where they are known.
    pub(super) fn new(status: StatusCode, terms: Terms, size: Option<u64>) -> Self {
        let trailers = Vec::new();
        Self { status, terms, size, length: None, trailers, close: false, date: false }
    }

    /// Takes note of a field; whether it goes to the client as it is.
    pub(super) fn pass(&mut self, name: &HeaderName, value: &[u8]) -> bool {
        if *name == CONTENT_LENGTH {
            let said = content_length(value);
            let fits = match self.size {
                // Behind a head alone stands the length of what was not sent.
                Some(0) => self.terms.is_head,
                Some(size) => said == Some(size),
                None => true,
            };
            if !fits || self.length.is_some() {
                return false;
            }
            self.length = said;
            said.is_some()
        } else if *name == CONNECTION {
            self.close |= lists(value, b"close");
            true
        } else if *name == TRAILER {
            let pass = self.terms.http_11 && self.has_content();
            if pass && self.terms.reads_trailers {
                let names = value.split(|byte| *byte == b',');
                let names = names.filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok());
                self.trailers.extend(names.filter(may_trail));
            }
            pass
        } else {
            self.date |= *name == DATE;
            // How the body is framed is said here alone.
            *name != TRANSFER_ENCODING
        }
    }

    /// How the body follows, and what is still to be said of that.
    pub(super) fn framing(&mut self) -> (Kind, Line) {
        if !self.has_content() {
            return (Kind::Length(0), self.line_without_content());
        }
        match (self.length, self.size) {
            (Some(length), _) => (Kind::Length(length), Line::None),
            (None, Some(size)) => (Kind::Length(size), Line::Length(size)),
            (None, None) if self.terms.http_11 => {
                (Kind::Chunked(std::mem::take(&mut self.trailers)), Line::Chunked)
            }
            (None, None) => (Kind::Close, Line::None),
        }
    }

    fn line_without_content(&self) -> Line {
        match (self.length, self.size) {
            (None, Some(size)) if size > 0 && self.may_have_length() => Line::Length(size),
            _ => Line::None,
        }
    }

    /// RFC 9110 section 8.6: a length of nothing is not said.
    fn may_have_length(&self) -> bool {
        let nothing = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
        !self.status.is_informational() && !nothing.contains(&self.status)
    }

    fn has_content(&self) -> bool {
        self.may_have_length() && !self.terms.is_head
    }
}

/// Whether a field may stand behind a body: not what says how to read it (RFC 9110 section 6.5.1).
fn may_trail(name: &HeaderName) -> bool {
    ![CONTENT_LENGTH, TRANSFER_ENCODING, TRAILER].contains(name)
}
