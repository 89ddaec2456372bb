//! Both ends of the wire on one thread: the clients, and the upstream behind the proxies.
//!
//! On one thread, because they share one core: two that spin would take turns of milliseconds. The
//! clients are a closed loop, each with one request under way. HTTP/1.1 with keep-alive throughout;
//! a connection that a proxy closes under load is an error.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::common::peer::Peer;
use crate::common::upstream::Upstream;

/// A proxy that answers nobody for so long has failed.
const STUCK: Duration = Duration::from_secs(10);

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
    upstream: Upstream,
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
        let upstream = Upstream::new(&epoll)?;
        Ok(Self { mode, epoll, upstream })
    }

    /// Where the upstream listens.
    pub fn upstream(&self) -> Result<SocketAddr> {
        self.upstream.address()
    }

    /// Sends one request and says what came of it at both ends.
    pub fn ask(&mut self, to: SocketAddr, request: &[u8]) -> Result<Exchange> {
        self.upstream.watch();
        let mut once = Some(request);
        let load = self.run(to, 1, || once.take())?;
        Ok(Exchange {
            status: load.others.keys().next().copied().unwrap_or(200),
            upstream_saw: self.upstream.seen(),
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
            peer.register(&self.epoll, index)?;
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
                    token if Upstream::owns(token) => {
                        self.upstream.handle(&self.epoll, token)?;
                    }
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
        Ok(self.peer.take_answer()?.map(|answer| answer.status))
    }
}
