//! One end of a connection that never blocks, and the answers that come over it.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use rustix::event::epoll;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// Bytes of the upstream's answers, if nothing else is said; every 200 must carry them.
pub const BODY: usize = 200;
/// The largest head that can come, and the most that is read at once.
const BUFFER: usize = 64 * 1024;

/// A connection and what has come over it.
pub struct Peer {
    stream: TcpStream,
    tls: Option<Box<ClientConnection>>,
    buffer: Box<[u8]>,
    filled: usize,
    /// Bytes of a body that are still to come, and are not kept.
    owed: usize,
    /// What the socket had no room for, and how much of that is written meanwhile.
    unsent: Vec<u8>,
    sent: usize,
    /// Whether epoll is to tell when there is room.
    waits_for_room: bool,
    expected_body: usize,
    /// An answer whose body has not come as a whole yet.
    begun: Option<Answer>,
}

/// What is used of an answer.
#[derive(Clone, Copy)]
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
        Ok(Self {
            stream,
            tls: None,
            buffer: vec![0; BUFFER].into(),
            filled: 0,
            owed: 0,
            unsent: Vec::new(),
            sent: 0,
            waits_for_room: false,
            expected_body: BODY,
            begun: None,
        })
    }

    /// Takes a connection over as a TLS client, and begins the handshake.
    pub fn over_tls(stream: TcpStream, client: &Arc<ClientConfig>, host: &str) -> Result<Self> {
        let host = ServerName::try_from(host.to_owned())?;
        let mut peer = Self::new(stream)?;
        peer.tls = Some(Box::new(ClientConnection::new(Arc::clone(client), host)?));
        peer.send_records()?;
        Ok(peer)
    }

    /// Waits until the handshake is done, where there is one.
    pub fn finish_handshake(&mut self) -> Result<()> {
        if let Some(tls) = &mut self.tls {
            self.stream.set_nonblocking(false)?;
            while tls.is_handshaking() {
                tls.complete_io(&mut self.stream)?;
            }
            self.stream.set_nonblocking(true)?;
        }
        Ok(())
    }

    /// Expects so many bytes of body in each 200.
    pub fn expecting(self, body: usize) -> Self {
        Self { expected_body: body, ..self }
    }

    /// Has an epoll tell, with this token, when something has come.
    pub fn register(&self, epoll: &OwnedFd, token: u64) -> Result<()> {
        let token = epoll::EventData::new_u64(token);
        Ok(epoll::add(epoll, &self.stream, token, epoll::EventFlags::IN)?)
    }

    /// Has it tell of room to write too, for as long as there is something to be sent.
    pub fn follow(&mut self, epoll: &OwnedFd, token: u64) -> Result<()> {
        let waits = !self.unsent.is_empty();
        if waits == self.waits_for_room {
            return Ok(());
        }
        self.waits_for_room = waits;
        let flags = epoll::EventFlags::IN;
        let flags = if waits { flags | epoll::EventFlags::OUT } else { flags };
        Ok(epoll::modify(epoll, &self.stream, epoll::EventData::new_u64(token), flags)?)
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

    /// Throws so many of the next bytes away, now or when they come.
    pub fn discard(&mut self, length: usize) {
        let here = length.min(self.filled);
        self.consume(here);
        self.owed = length - here;
    }

    /// Whether bytes that are thrown away are still to come.
    pub fn is_owed(&self) -> bool {
        self.owed > 0
    }

    /// Takes in what has come; whether the other side is still there.
    pub fn read(&mut self) -> Result<bool> {
        ensure!(self.filled < BUFFER, "more than {BUFFER} bytes came at once");
        let alive = match &mut self.tls {
            None => match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(length) => {
                    self.filled += length;
                    length > 0
                }
                Err(error) => still_there(error)?,
            },
            Some(_) => self.read_records()?,
        };
        if self.owed > 0 {
            self.discard(self.owed);
        }
        Ok(alive)
    }

    /// Writes what there is room for; the rest waits for [`Self::flush`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(bytes)?;
            return self.send_records();
        }
        let written = if self.unsent.is_empty() { written(self.stream.write(bytes))? } else { 0 };
        self.unsent.extend_from_slice(&bytes[written..]);
        Ok(())
    }

    /// Writes what waits, as far as there is room.
    pub fn flush(&mut self) -> Result<()> {
        if !self.unsent.is_empty() {
            self.sent += written(self.stream.write(&self.unsent[self.sent..]))?;
            if self.sent == self.unsent.len() {
                self.unsent.clear();
                self.sent = 0;
            }
        }
        Ok(())
    }

    /// Takes the answer that has come, once it is here as a whole.
    pub fn take_answer(&mut self) -> Result<Option<Answer>> {
        if self.begun.is_none() {
            let Some((head, body, answer)) = self.parse_head()? else { return Ok(None) };
            self.consume(head);
            self.discard(body);
            self.begun = Some(answer);
        }
        if self.is_owed() {
            return Ok(None);
        }
        ensure!(self.filled == 0, "more came than one answer");
        Ok(self.begun.take())
    }

    /// The lengths of head and body, once the head is here.
    fn parse_head(&self) -> Result<Option<(usize, usize, Answer)>> {
        let mut headers = [httparse::EMPTY_HEADER; 48];
        let mut answer = httparse::Response::new(&mut headers);
        let httparse::Status::Complete(head) = answer.parse(self.received())? else {
            return Ok(None);
        };
        let status = answer.code.context("a whole head has a status")?;
        let number = |name| number(answer.headers, name);
        let body = number("content-length")?.context("an answer without Content-Length")? as usize;
        let retry_after = number("retry-after")?;
        let expected = self.expected_body;
        ensure!(status != 200 || body == expected, "a body of {body} bytes instead of {expected}");
        Ok(Some((head, body, Answer { status, retry_after })))
    }

    fn read_records(&mut self) -> Result<bool> {
        let tls = self.tls.as_mut().context("a TLS connection")?;
        match tls.read_tls(&mut self.stream) {
            Ok(0) => return Ok(false),
            Ok(_) => {}
            Err(error) => return still_there(error),
        }
        tls.process_new_packets()?;
        let alive = loop {
            match tls.reader().read(&mut self.buffer[self.filled..]) {
                // The end, unless there was no room: what fills it is not read on, but refused.
                Ok(0) => break self.filled == BUFFER,
                Ok(length) => self.filled += length,
                Err(error) => break still_there(error)?,
            }
        };
        self.send_records()?;
        Ok(alive)
    }

    /// Handshakes and requests are short: a socket with one under way has room for them.
    fn send_records(&mut self) -> Result<()> {
        let tls = self.tls.as_mut().context("a TLS connection")?;
        while tls.wants_write() {
            tls.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}

/// Whether a connection that cannot be read is still there.
fn still_there(error: io::Error) -> Result<bool> {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::Interrupted => Ok(true),
        ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof => Ok(false),
        _ => Err(error.into()),
    }
}

/// How many bytes a socket took.
fn written(result: io::Result<usize>) -> Result<usize> {
    match result {
        Ok(length) => Ok(length),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        Err(error) => Err(error.into()),
    }
}

fn number(headers: &[httparse::Header<'_>], name: &str) -> Result<Option<u64>> {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
    header.map(|header| Ok(std::str::from_utf8(header.value)?.parse()?)).transpose()
}
