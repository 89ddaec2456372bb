//! Clients and upstream on one thread: requests when their plan says, however the gateway fares.
//!
//! A request's time counts from when it was due, so that a gateway that keeps others waiting does
//! not hide it. A connection that breaks is an outcome, and a new one takes its place.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use super::outcome::Outcome;
use crate::common::peer::{Answer, Peer};
use crate::common::upstream::Upstream;

/// Nothing answered for so long, the gateway has failed.
const STUCK: Duration = Duration::from_secs(30);
/// From connecting to the first request, so that the gateway has accepted what is there.
const SETTLE: Duration = Duration::from_millis(200);
/// The longest sleep, for what no event tells of.
const NAP: Duration = Duration::from_millis(50);

/// A request to be sent.
pub struct Shot {
    /// When it was due.
    pub due: Instant,
    /// The place of its target among those of the run.
    pub target: usize,
    /// Whatever the plan knows it by.
    pub tag: usize,
    /// The request on the wire.
    pub bytes: Rc<[u8]>,
}

/// Says what is sent when.
pub trait Plan {
    /// When the next request is due; `None`: none is, for now.
    fn due(&self) -> Option<Instant>;
    /// The request that is due.
    fn take(&mut self) -> Shot;
    /// Hears of an outcome, and may plan more.
    fn answered(&mut self, _outcome: &Outcome) {}
}

/// Where requests go, and over how many connections at most.
#[derive(Clone, Copy)]
pub struct Target {
    /// A gateway's.
    pub address: SocketAddr,
    /// One request is under way on each.
    pub connections: usize,
}

/// The thread's connections.
pub struct Clients {
    /// Whether it asks again and again for what has come, so that nobody pays for waking it.
    spin: bool,
    epoll: OwnedFd,
    upstream: Upstream,
}

impl Clients {
    /// Opens the upstream on a free port. It answers while something runs.
    pub fn new(spin: bool) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let upstream = Upstream::new(&epoll)?;
        Ok(Self { spin, epoll, upstream })
    }

    /// Where the upstream listens.
    pub fn upstream(&self) -> Result<SocketAddr> {
        self.upstream.address()
    }

    /// Connects, makes the plan, and sends what it says until nothing is due and everything is
    /// answered.
    pub fn run<P: Plan>(
        &mut self,
        targets: &[Target],
        plan: impl FnOnce() -> P,
    ) -> Result<Vec<Outcome>> {
        let mut run = Run::new(&self.epoll, targets)?;
        thread::sleep(SETTLE);
        let plan = &mut plan();
        let mut events = Vec::with_capacity(256);
        let mut last = Instant::now();
        while run.send_what_is_due(plan) {
            self.wait(&mut events, plan.due())?;
            for event in events.drain(..) {
                match event.data.u64() {
                    token if Upstream::owns(token) => self.upstream.handle(&self.epoll, token)?,
                    token => run.receive(token as usize, plan)?,
                }
                last = Instant::now();
            }
            if run.under_way > 0 && last.elapsed() > STUCK {
                bail!("{} requests were not answered within {STUCK:?}", run.under_way);
            }
        }
        Ok(run.outcomes)
    }

    /// Lets the upstream answer until somebody says that it is over.
    pub fn serve_until(&mut self, over: &AtomicBool) -> Result<()> {
        let mut events = Vec::with_capacity(256);
        while !over.load(Ordering::SeqCst) {
            self.wait(&mut events, None)?;
            for event in events.drain(..).filter(|event| Upstream::owns(event.data.u64())) {
                self.upstream.handle(&self.epoll, event.data.u64())?;
            }
        }
        Ok(())
    }

    fn wait(&self, events: &mut Vec<epoll::Event>, due: Option<Instant>) -> Result<()> {
        let until_due = |due: Instant| due.saturating_duration_since(Instant::now()).min(NAP);
        let nap = if self.spin { Duration::ZERO } else { due.map_or(NAP, until_due) };
        let nap = Timespec { tv_sec: 0, tv_nsec: nap.subsec_nanos().into() };
        match epoll::wait(&self.epoll, spare_capacity(events), Some(&nap)) {
            Err(error) if error != rustix::io::Errno::INTR => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// One run's connections and what came of them.
struct Run<'a> {
    epoll: &'a OwnedFd,
    clients: Vec<Client>,
    /// By target, those that wait for a request: the one that has waited longest takes the next,
    /// so that all of a gateway's workers get their part.
    free: Vec<VecDeque<usize>>,
    /// What is due and found no free connection; what is due after it waits too.
    held: Option<Shot>,
    under_way: usize,
    outcomes: Vec<Outcome>,
}

struct Client {
    address: SocketAddr,
    peer: Option<Peer>,
    shot: Option<(Shot, Instant)>,
}

impl<'a> Run<'a> {
    fn new(epoll: &'a OwnedFd, targets: &[Target]) -> Result<Self> {
        let mut run = Self {
            epoll,
            clients: Vec::new(),
            free: Vec::new(),
            held: None,
            under_way: 0,
            outcomes: Vec::new(),
        };
        for target in targets {
            let first = run.clients.len();
            run.free.push((first..first + target.connections).collect());
            for place in first..first + target.connections {
                let mut client = Client { address: target.address, peer: None, shot: None };
                client.connect(run.epoll, place)?;
                run.clients.push(client);
            }
        }
        Ok(run)
    }

    /// Whether there is anything to wait for.
    fn send_what_is_due(&mut self, plan: &mut dyn Plan) -> bool {
        loop {
            let is_due = |due| due <= Instant::now();
            let next =
                self.held.take().or_else(|| plan.due().is_some_and(is_due).then(|| plan.take()));
            let Some(shot) = next else { break };
            let Some(place) = self.free[shot.target].pop_front() else {
                self.held = Some(shot);
                break;
            };
            self.send(place, shot, plan);
        }
        self.under_way > 0 || self.held.is_some() || plan.due().is_some()
    }

    fn send(&mut self, place: usize, shot: Shot, plan: &mut dyn Plan) {
        let client = &mut self.clients[place];
        // Where no connection can be made, that is the outcome.
        if client.peer.is_none() {
            let _ = client.connect(self.epoll, place);
        }
        let sent = Instant::now();
        let written = client.peer.as_mut().is_some_and(|peer| peer.write(&shot.bytes).is_ok());
        client.shot = Some((shot, sent));
        self.under_way += 1;
        if !written {
            self.broken(place, plan);
        }
    }

    fn receive(&mut self, place: usize, plan: &mut dyn Plan) -> Result<()> {
        let Some(peer) = &mut self.clients[place].peer else { return Ok(()) };
        if !peer.read().unwrap_or(false) {
            self.broken(place, plan);
            return Ok(());
        }
        if let Some(answer) = peer.take_answer()? {
            self.finish(place, &answer, plan);
        }
        Ok(())
    }

    fn broken(&mut self, place: usize, plan: &mut dyn Plan) {
        self.clients[place].peer = None;
        if self.clients[place].shot.is_some() {
            self.finish(place, &Answer { status: 0, retry_after: None }, plan);
        }
    }

    fn finish(&mut self, place: usize, answer: &Answer, plan: &mut dyn Plan) {
        let Some((shot, sent)) = self.clients[place].shot.take() else { return };
        let Answer { status, retry_after } = *answer;
        let Shot { due, target, tag, .. } = shot;
        let done = Instant::now();
        let outcome = Outcome { target, tag, due, sent, done, status, retry_after };
        plan.answered(&outcome);
        self.outcomes.push(outcome);
        self.free[target].push_back(place);
        self.under_way -= 1;
    }
}

impl Client {
    fn connect(&mut self, epoll: &OwnedFd, place: usize) -> Result<()> {
        let peer = Peer::new(TcpStream::connect(self.address)?)?;
        peer.register(epoll, place as u64)?;
        self.peer = Some(peer);
        Ok(())
    }
}
