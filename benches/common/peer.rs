//! One end of a connection that never blocks, and the answers that come over it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, ensure};
use rustix::event::epoll;

/// Bytes of the upstream's answers; every 200 must carry them.
pub const BODY: usize = 200;
/// The largest head or answer that can come.
const BUFFER: usize = 8 * 1024;

/// A connection and what has come over it.
pub struct Peer {
    stream: TcpStream,
    buffer: Box<[u8]>,
    filled: usize,
}

/// What is used of an answer.
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Seconds of `Retry-After`.
    pub retry_after: Option<u64>,
}

impl Peer {
    /// Takes a connection over.
    pub fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER].into(), filled: 0 })
    }

    /// Has an epoll tell, with this token, when something has come.
    pub fn register(&self, epoll: &OwnedFd, token: u64) -> Result<()> {
        let token = epoll::EventData::new_u64(token);
        Ok(epoll::add(epoll, &self.stream, token, epoll::EventFlags::IN)?)
    }

    /// What has come and was not taken yet.
    pub fn received(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    /// Takes the first bytes of what has come.
    pub fn consume(&mut self, length: usize) {
        self.buffer.copy_within(length..self.filled, 0);
        self.filled -= length;
    }

    /// Takes in what has come; whether the other side is still there.
    pub fn read(&mut self) -> Result<bool> {
        ensure!(self.filled < BUFFER, "more than {BUFFER} bytes came at once");
        match self.stream.read(&mut self.buffer[self.filled..]) {
            Ok(0) => Ok(false),
            Ok(length) => {
                self.filled += length;
                Ok(true)
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(true),
                ErrorKind::ConnectionReset => Ok(false),
                _ => Err(error.into()),
            },
        }
    }

    /// Writes at one go: with one message under way a socket always has room for it.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.stream.write(bytes)?;
        ensure!(written == bytes.len(), "only {written} of {} bytes were taken", bytes.len());
        Ok(())
    }

    /// Takes the answer that has come, once it is here as a whole.
    pub fn take_answer(&mut self) -> Result<Option<Answer>> {
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(self.received())? else {
            return Ok(None);
        };
        let status = answer.code.context("a whole head has a status")?;
        let number = |name| number(answer.headers, name);
        let body = number("content-length")?.context("an answer without Content-Length")? as usize;
        let retry_after = number("retry-after")?;
        ensure!(status != 200 || body == BODY, "a body of {body} bytes instead of {BODY}");
        if self.filled < head + body {
            return Ok(None);
        }
        ensure!(self.filled == head + body, "more came than one answer");
        self.consume(head + body);
        Ok(Some(Answer { status, retry_after }))
    }
}

fn number(headers: &[httparse::Header<'_>], name: &str) -> Result<Option<u64>> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    header.map(|header| Ok(std::str::from_utf8(header.value)?.parse()?)).transpose()
}
