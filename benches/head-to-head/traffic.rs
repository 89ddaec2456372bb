//! Both ends of the wire on one thread: the clients, and the upstream behind the proxies.
//!
//! On one thread, because they share one core: two that spin would take turns of milliseconds. The
//! clients are a closed loop, each with one request under way. HTTP/1.1 with keep-alive throughout;
//! a connection that a proxy closes under load is an error.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use memchr::memmem;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes of the upstream's answers.
const BODY: usize = 200;
/// The largest head or answer that can come.
const BUFFER: usize = 8 * 1024;
/// Connections that wait to be accepted: all of a load's may come at once.
const BACKLOG: i32 = 4_096;
/// A proxy that answers nobody for so long has failed.
const STUCK: Duration = Duration::from_secs(10);

/// Tells the upstream's connections from the clients' in what epoll hands back.
const UPSTREAM: u64 = 1 << 32;
const LISTENER: u64 = u64::MAX;

/// How the thread waits for the next event.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Asks again and again, so that nobody who writes to it pays for waking it.
    Spin,
    /// Sleeps in the kernel.
    Sleep,
}

/// The thread's connections.
pub struct Traffic {
    mode: Mode,
    epoll: OwnedFd,
    listener: TcpListener,
    upstream: Vec<Option<Peer>>,
    answer: Vec<u8>,
    /// The last head that reached the upstream, while somebody wants to know.
    watched: Option<Vec<u8>>,
}

/// What came of a load.
pub struct Load {
    /// How many answers came.
    pub answered: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Statuses other than 200 and how often each came.
    pub others: BTreeMap<u16, u64>,
    latencies_ns: Vec<u32>,
}

/// What came of one request.
pub struct Exchange {
    /// Of the answer.
    pub status: u16,
    /// The head as it reached the upstream, if it did.
    pub upstream_saw: Option<String>,
}

struct Peer {
    stream: TcpStream,
    buffer: Box<[u8]>,
    filled: usize,
}

struct Client {
    peer: Peer,
    sent: Instant,
}

impl Load {
    /// The latency that so many in a hundred requests did not exceed, in microseconds.
    pub fn latency_us(&mut self, percent: usize) -> f64 {
        let place = self.latencies_ns.len().saturating_sub(1) * percent / 100;
        let (_, latency, _) = self.latencies_ns.select_nth_unstable(place);
        f64::from(*latency) / 1_000.0
    }
}

impl Traffic {
    /// Opens the upstream on a free port.
    pub fn new(mode: Mode) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from(socket);
        let token = epoll::EventData::new_u64(LISTENER);
        epoll::add(&epoll, &listener, token, epoll::EventFlags::IN)?;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
        let answer = format!("{head}: {BODY}\r\n\r\n{}", "x".repeat(BODY)).into_bytes();
        Ok(Self { mode, epoll, listener, upstream: Vec::new(), answer, watched: None })
    }

    /// Where the upstream listens.
    pub fn upstream(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Sends one request and says what came of it at both ends.
    pub fn ask(&mut self, to: SocketAddr, request: &[u8]) -> Result<Exchange> {
        self.watched = Some(Vec::new());
        let mut once = Some(request);
        let load = self.run(to, 1, || once.take())?;
        let seen = self.watched.take().unwrap_or_default();
        Ok(Exchange {
            status: load.others.keys().next().copied().unwrap_or(200),
            upstream_saw: (!seen.is_empty()).then(|| String::from_utf8_lossy(&seen).into_owned()),
        })
    }

    /// Sends what `next` gives over so many connections until it gives nothing, then waits for
    /// the last answers.
    pub fn run<'a>(
        &mut self,
        to: SocketAddr,
        connections: u32,
        mut next: impl FnMut() -> Option<&'a [u8]>,
    ) -> Result<Load> {
        let mut clients = Vec::with_capacity(connections as usize);
        for index in 0..u64::from(connections) {
            let peer = Peer::new(TcpStream::connect(to).context("cannot connect")?)?;
            self.register(&peer, index)?;
            clients.push(Client { peer, sent: Instant::now() });
        }
        let begun = Instant::now();
        let mut load = Load {
            answered: 0,
            elapsed: Duration::ZERO,
            others: BTreeMap::new(),
            latencies_ns: Vec::new(),
        };
        let mut under_way = 0;
        for client in &mut clients {
            under_way += u32::from(client.send(next())?);
        }
        let mut events = Vec::with_capacity(256);
        let mut last = begun;
        while under_way > 0 {
            self.wait(&mut events)?;
            if events.is_empty() && last.elapsed() > STUCK {
                bail!("{under_way} requests were not answered within {STUCK:?}");
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    LISTENER => self.accept()?,
                    token if token & UPSTREAM != 0 => self.serve((token ^ UPSTREAM) as usize)?,
                    token => {
                        let client = &mut clients[token as usize];
                        if let Some(status) = client.receive()? {
                            last = Instant::now();
                            load.note(status, last - client.sent);
                            under_way -= u32::from(!client.send(next())?);
                        }
                    }
                }
            }
        }
        load.elapsed = last - begun;
        Ok(load)
    }

    fn wait(&self, events: &mut Vec<epoll::Event>) -> Result<()> {
        let nap = match self.mode {
            Mode::Spin => Timespec { tv_sec: 0, tv_nsec: 0 },
            Mode::Sleep => Timespec { tv_sec: 1, tv_nsec: 0 },
        };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&nap)) {
            Err(error) if error != rustix::io::Errno::INTR => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn register(&self, peer: &Peer, token: u64) -> Result<()> {
        let token = epoll::EventData::new_u64(token);
        Ok(epoll::add(&self.epoll, &peer.stream, token, epoll::EventFlags::IN)?)
    }

    fn accept(&mut self) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let peer = Peer::new(stream)?;
            let free = self.upstream.iter().position(Option::is_none);
            let index = free.unwrap_or_else(|| {
                self.upstream.push(None);
                self.upstream.len() - 1
            });
            self.register(&peer, index as u64 | UPSTREAM)?;
            self.upstream[index] = Some(peer);
        }
    }

    /// Answers every whole head that has come over one of the upstream's connections.
    fn serve(&mut self, index: usize) -> Result<()> {
        let Some(peer) = &mut self.upstream[index] else {
            return Ok(());
        };
        if !peer.read()? {
            self.upstream[index] = None;
            return Ok(());
        }
        while let Some(end) = memmem::find(peer.received(), b"\r\n\r\n") {
            let length = end + 4;
            if let Some(watched) = &mut self.watched {
                peer.received()[..length].clone_into(watched);
            }
            peer.consume(length);
            peer.write(&self.answer)?;
        }
        Ok(())
    }
}

impl Load {
    fn note(&mut self, status: u16, latency: Duration) {
        self.answered += 1;
        self.latencies_ns.push(u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX));
        if status != 200 {
            *self.others.entry(status).or_default() += 1;
        }
    }
}

impl Client {
    /// Sends a request if there is one; whether there was.
    fn send(&mut self, request: Option<&[u8]>) -> Result<bool> {
        let Some(request) = request else {
            return Ok(false);
        };
        self.sent = Instant::now();
        self.peer.write(request)?;
        Ok(true)
    }

    /// The status of the answer, once it is here as a whole.
    fn receive(&mut self) -> Result<Option<u16>> {
        ensure!(self.peer.read()?, "the proxy closed a connection");
        let Some((status, length)) = parse_answer(self.peer.received())? else {
            return Ok(None);
        };
        ensure!(length == self.peer.filled, "more came than one answer");
        self.peer.consume(length);
        Ok(Some(status))
    }
}

/// Status and length of the whole answer, if it is here. A 200 must carry the upstream's body.
fn parse_answer(bytes: &[u8]) -> Result<Option<(u16, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut answer = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = answer.parse(bytes)? else {
        return Ok(None);
    };
    let status = answer.code.context("a whole head has a status")?;
    let length = answer.headers.iter().find(|h| h.name.eq_ignore_ascii_case("content-length"));
    let length = length.context("an answer without Content-Length")?.value;
    let length: usize = std::str::from_utf8(length)?.parse()?;
    ensure!(status != 200 || length == BODY, "a body of {length} bytes instead of {BODY}");
    Ok((bytes.len() >= head + length).then_some((status, head + length)))
}

impl Peer {
    fn new(stream: TcpStream) -> Result<Self> {
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: vec![0; BUFFER].into(), filled: 0 })
    }

    fn received(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    fn consume(&mut self, length: usize) {
        self.buffer.copy_within(length..self.filled, 0);
        self.filled -= length;
    }

    /// Takes in what has come; whether the other side is still there.
    fn read(&mut self) -> Result<bool> {
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
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.stream.write(bytes)?;
        ensure!(written == bytes.len(), "only {written} of {} bytes were taken", bytes.len());
        Ok(())
    }
}
