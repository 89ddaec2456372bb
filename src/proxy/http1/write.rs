//! What goes out to a client: the head of an answer, and its body as HTTP/1.1 frames it (RFC 9112
//! sections 4 to 7).

use std::io;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response};
use http_body::Body;

use super::super::outbox::{Outbox, field};
use super::fields::{Fields, Kind, Line};
use super::request::Terms;
use super::stock::Date;

/// What of an answer is the connection's to say.
pub struct Said {
    /// What the client's head said.
    pub terms: Terms,
    /// Another request may follow.
    pub may_go_on: bool,
    /// The date, where the answer has none.
    pub date: Date,
}

/// Frames an answer's body behind its head.
#[derive(Debug)]
pub struct Encoder {
    kind: Kind,
    is_done: bool,
    is_last: bool,
}

impl Encoder {
    /// Writes an answer's head and says how its body follows.
    ///
    /// A body's own length stands above what the head says of it. Answers to HEAD, and those that
    /// have no content (RFC 9110 section 6.4.1), keep the length that the head says, and no more.
    pub fn begin<B: Body>(
        outbox: &mut Outbox,
        head: &response::Parts,
        body: &B,
        said: &Said,
    ) -> Self {
        let out = outbox.text();
        out.reserve(128 + 64 * head.headers.len());
        status_line(out, head.status, said.terms.http_11);
        let size = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
        let mut fields = Fields::new(head.status, said.terms, size);
        for (name, value) in &head.headers {
            if fields.pass(name, value.as_bytes()) {
                field(out, name.as_str(), value.as_bytes());
            }
        }
        let (kind, line) = fields.framing();
        let until_close = matches!(kind, Kind::Close);
        let is_last = !said.may_go_on || fields.close || until_close;
        match (is_last, said.terms.http_11) {
            _ if fields.close || head.status == StatusCode::SWITCHING_PROTOCOLS => {}
            (true, true) => out.extend_from_slice(b"connection: close\r\n"),
            (false, false) => out.extend_from_slice(b"connection: keep-alive\r\n"),
            _ => {}
        }
        match line {
            Line::None => {}
            Line::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
            Line::Length(length) => {
                let mut digits = itoa::Buffer::new();
                field(out, "content-length", digits.format(length).as_bytes());
            }
        }
        if fields.date {
            out.extend_from_slice(b"\r\n");
        } else {
            out.extend_from_slice(b"date: ");
            out.extend_from_slice(&said.date);
            out.extend_from_slice(b"\r\n\r\n");
        }
        Self { is_done: matches!(kind, Kind::Length(0)), kind, is_last }
    }

    /// Whether nothing of the body is left to come.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether the connection ends behind the answer.
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// The next data of the body; what goes beyond its length is left out.
    pub fn data(&mut self, outbox: &mut Outbox, mut data: Bytes) {
        if data.is_empty() {
            return;
        }
        match &mut self.kind {
            Kind::Length(left) => {
                data.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= data.len() as u64;
                self.is_done = *left == 0;
                outbox.push(data, b"");
            }
            Kind::Chunked(_) => outbox.push_chunk(data, false),
            Kind::Close => outbox.push(data, b""),
        }
    }

    /// What comes behind the data. Trailers pass that the head has announced, to who reads them.
    pub fn trailers(&mut self, outbox: &mut Outbox, trailers: &HeaderMap) -> io::Result<()> {
        let Kind::Chunked(announced) = &self.kind else { return self.end(outbox) };
        let out = outbox.text();
        out.extend_from_slice(b"0\r\n");
        for (name, value) in trailers {
            if announced.contains(name) {
                field(out, name.as_str(), value.as_bytes());
            }
        }
        out.extend_from_slice(b"\r\n");
        self.is_done = true;
        Ok(())
    }

    /// The body has ended; an error where it is shorter than its head says.
    pub fn end(&mut self, outbox: &mut Outbox) -> io::Result<()> {
        match &self.kind {
            _ if self.is_done => {}
            Kind::Length(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Kind::Chunked(_) => outbox.end_chunks(),
            Kind::Close => {}
        }
        self.is_done = true;
        Ok(())
    }
}

fn status_line(out: &mut Vec<u8>, status: StatusCode, http_11: bool) {
    if http_11 && status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(if http_11 { b"HTTP/1.1 " } else { b"HTTP/1.0 " });
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    out.extend_from_slice(b"\r\n");
}
