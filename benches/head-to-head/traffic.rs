//! Both ends of the wire on one thread: the clients, and the upstream behind the proxies.
//!
//! On one thread, because they share one core: two that spin would take turns of milliseconds. Each
//! connection has one request under way. HTTP/1.1 with keep-alive, unless a stream says otherwise; a
//! connection that a proxy closes under load is an error.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustls::ClientConfig;

use crate::common::upstream::Upstream;

mod clients;
pub mod http2;

use clients::Clients;

/// A proxy that answers nobody for so long has failed.
const STUCK: Duration = Duration::from_secs(10);

/// How the thread waits for the next event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Asks again and again, so that nobody who writes to it pays for waking it.
    Spin,
    /// Sleeps in the kernel.
    Sleep,
}

/// Where clients connect, and how.
#[derive(Clone)]
pub struct Endpoint {
    /// Of the listener.
    pub address: SocketAddr,
    /// What a client needs for TLS; `None`: in clear.
    pub tls: Option<Arc<ClientConfig>>,
}

/// Clients that do alike.
pub struct Stream<'a> {
    /// Where they connect.
    pub to: &'a Endpoint,
    /// How many.
    pub connections: u32,
    /// When they send.
    pub pace: Pace,
    /// Bytes of body in every 200.
    pub body: usize,
    /// What they send, until it ends.
    pub requests: Box<dyn Iterator<Item = &'a [u8]> + 'a>,
}

/// When clients send.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// The next request as soon as the last is answered.
    Closed,
    /// The same, each over a connection of its own; latencies have its making in them.
    Fresh,
    /// So many a second, however the proxy fares; latencies count from when a request was due.
    Open(u32),
}

/// The thread's connections.
pub struct Traffic {
    epoll: OwnedFd,
    /// Behind every proxy.
    pub upstream: Upstream,
}

/// What came of a stream.
#[derive(Default)]
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

impl Traffic {
    /// Opens the upstream on a free port.
    pub fn new() -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let upstream = Upstream::new(&epoll)?;
        Ok(Self { epoll, upstream })
    }

    /// Sends one request and says what came of it at both ends.
    pub fn ask(&mut self, to: &Endpoint, request: &[u8], body: usize) -> Result<Exchange> {
        self.upstream.watch();
        let requests = Box::new(std::iter::once(request));
        let once = Stream { to, connections: 1, pace: Pace::Closed, body, requests };
        let load = self.run_one(Mode::Sleep, once, || Ok(()))?;
        Ok(Exchange {
            status: load.others.keys().next().copied().unwrap_or(200),
            upstream_saw: self.upstream.seen(),
        })
    }

    /// The same as [`Self::run`] with one stream.
    pub fn run_one(
        &mut self,
        mode: Mode,
        stream: Stream<'_>,
        connected: impl FnOnce() -> Result<()>,
    ) -> Result<Load> {
        let mut loads = self.run(mode, vec![stream], connected)?;
        Ok(loads.remove(0))
    }

    /// Has every stream send what it has until that ends, then waits for the last answers.
    /// Connections that stay are made first, and `connected` is called when they are.
    pub fn run(
        &mut self,
        mode: Mode,
        streams: Vec<Stream<'_>>,
        connected: impl FnOnce() -> Result<()>,
    ) -> Result<Vec<Load>> {
        let mut clients = Clients::connect(&self.epoll, streams)?;
        connected()?;
        clients.begin();
        let mut events = Vec::with_capacity(256);
        let mut last = Instant::now();
        clients.send_what_is_due()?;
        while clients.goes_on() {
            let nap = match mode {
                Mode::Spin => Duration::ZERO,
                Mode::Sleep => clients.until_due().unwrap_or(Duration::from_secs(1)),
            };
            wait(&self.epoll, &mut events, nap)?;
            if !events.is_empty() {
                last = Instant::now();
            } else if last.elapsed() > STUCK {
                bail!("{} requests were not answered within {STUCK:?}", clients.under_way());
            }
            for event in events.drain(..) {
                match event.data.u64() {
                    token if Upstream::owns(token) => self.upstream.handle(&self.epoll, token)?,
                    token => clients.handle(token as usize)?,
                }
            }
            clients.send_what_is_due()?;
        }
        Ok(clients.loads())
    }
}

fn wait(epoll: &OwnedFd, events: &mut Vec<epoll::Event>, nap: Duration) -> Result<()> {
    let nap = Timespec::try_from(nap)?;
    match epoll::wait(epoll, spare_capacity(events), Some(&nap)) {
        Err(error) if error != rustix::io::Errno::INTR => Err(error.into()),
        _ => Ok(()),
    }
}

impl Load {
    /// The latency that so many in a hundred requests did not exceed, in microseconds.
    pub fn latency_us(&mut self, percent: usize) -> f64 {
        let place = self.latencies_ns.len().saturating_sub(1) * percent / 100;
        let (_, latency, _) = self.latencies_ns.select_nth_unstable(place);
        f64::from(*latency) / 1_000.0
    }

    /// Whether all answers had one of these statuses.
    pub fn only(&self, statuses: &[u16]) -> bool {
        let known: u64 = statuses.iter().map(|status| self.count(*status)).sum();
        known == self.answered
    }

    /// How many answers had this status.
    pub fn count(&self, status: u16) -> u64 {
        match status {
            200 => self.answered - self.others.values().sum::<u64>(),
            status => self.others.get(&status).copied().unwrap_or_default(),
        }
    }

    fn note(&mut self, status: u16, latency: Duration) {
        self.answered += 1;
        self.latencies_ns.push(u32::try_from(latency.as_nanos()).unwrap_or(u32::MAX));
        if status != 200 {
            *self.others.entry(status).or_default() += 1;
        }
    }
}
