//! The clients of a run: who is free, what is due, what came.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use socket2::SockRef;

use super::{Endpoint, Load, Pace, Stream};
use crate::common::peer::Peer;
use crate::proxies::HOST;

/// The clients of all streams.
pub struct Clients<'e, 'a> {
    epoll: &'e OwnedFd,
    groups: Vec<Group<'a>>,
    all: Vec<Client>,
}

/// The clients of one stream.
struct Group<'a> {
    stream: Stream<'a>,
    /// Whoever has waited longest takes the next request, so that all connections are used.
    free: VecDeque<usize>,
    begun: Instant,
    last: Instant,
    sent: u32,
    under_way: u32,
    ended: bool,
    load: Load,
}

struct Client {
    group: usize,
    /// `None`: it connects when it sends.
    peer: Option<Peer>,
    due: Instant,
}

impl<'e, 'a> Clients<'e, 'a> {
    /// Makes all connections that are not made one for each request.
    pub fn connect(epoll: &'e OwnedFd, streams: Vec<Stream<'a>>) -> Result<Self> {
        let mut all = Vec::new();
        let now = Instant::now();
        for (group, stream) in streams.iter().enumerate() {
            for _ in 0..stream.connections {
                let peer = match stream.pace {
                    Pace::Fresh => None,
                    _ => Some(connect(epoll, stream, all.len())?),
                };
                all.push(Client { group, peer, due: now });
            }
        }
        let free = |group| (0..all.len()).filter(|n| all[*n].group == group).collect();
        let groups = streams.into_iter().enumerate();
        let groups = groups.map(|(n, stream)| Group::new(stream, free(n))).collect();
        Ok(Self { epoll, groups, all })
    }

    /// Starts the clock.
    pub fn begin(&mut self) {
        let now = Instant::now();
        for group in &mut self.groups {
            (group.begun, group.last) = (now, now);
        }
    }

    /// Whether something is under way or to be sent.
    pub fn goes_on(&self) -> bool {
        self.groups.iter().any(|group| group.under_way > 0 || !group.ended)
    }

    /// How many requests wait for their answers.
    pub fn under_way(&self) -> u32 {
        self.groups.iter().map(|group| group.under_way).sum()
    }

    /// How long until the next request is due that does not wait for an answer.
    pub fn until_due(&self) -> Option<Duration> {
        let open = self.groups.iter().filter(|group| !group.ended && !group.free.is_empty());
        open.map(|group| group.due().saturating_duration_since(Instant::now())).min()
    }

    /// Sends what is due, as far as there are free clients.
    pub fn send_what_is_due(&mut self) -> Result<()> {
        (0..self.groups.len()).try_for_each(|group| self.send(group))
    }

    /// Takes in what has come over one connection; an answer makes way for the next request.
    pub fn handle(&mut self, place: usize) -> Result<()> {
        let client = &mut self.all[place];
        // One whose answer was taken in this very batch, and whose connection is closed since.
        let Some(peer) = &mut client.peer else { return Ok(()) };
        peer.flush()?;
        ensure!(peer.read()?, "the proxy closed a connection");
        peer.follow(self.epoll, place as u64)?;
        let Some(answer) = peer.take_answer()? else { return Ok(()) };
        let (number, due) = (client.group, client.due);
        let group = &mut self.groups[number];
        if group.stream.pace == Pace::Fresh {
            client.peer = None;
        }
        group.under_way -= 1;
        group.free.push_back(place);
        group.last = Instant::now();
        group.load.note(answer.status, group.last.saturating_duration_since(due));
        self.send(number)
    }

    /// What came of every stream.
    pub fn loads(self) -> Vec<Load> {
        let load = |group: Group<'_>| Load { elapsed: group.last - group.begun, ..group.load };
        self.groups.into_iter().map(load).collect()
    }

    fn send(&mut self, number: usize) -> Result<()> {
        let group = &mut self.groups[number];
        while !group.ended && !group.free.is_empty() {
            let due = group.due();
            if due > Instant::now() {
                break;
            }
            let Some(request) = group.stream.requests.next() else {
                group.ended = true;
                break;
            };
            let place = group.free.pop_front().context("a client is free")?;
            let client = &mut self.all[place];
            client.due = due;
            let peer = match &mut client.peer {
                Some(peer) => peer,
                none => none.insert(connect(self.epoll, &group.stream, place)?),
            };
            peer.write(request)?;
            peer.follow(self.epoll, place as u64)?;
            group.sent += 1;
            group.under_way += 1;
        }
        Ok(())
    }
}

impl<'a> Group<'a> {
    fn new(stream: Stream<'a>, free: VecDeque<usize>) -> Self {
        let (begun, last) = (Instant::now(), Instant::now());
        Self {
            stream,
            free,
            begun,
            last,
            sent: 0,
            under_way: 0,
            ended: false,
            load: Load::default(),
        }
    }

    /// When the next request is to be sent.
    fn due(&self) -> Instant {
        match self.stream.pace {
            Pace::Closed | Pace::Fresh => Instant::now(),
            Pace::Open(per_second) => {
                self.begun + Duration::from_secs(self.sent.into()) / per_second
            }
        }
    }
}

fn connect(epoll: &OwnedFd, stream: &Stream<'_>, token: usize) -> Result<Peer> {
    let Endpoint { address, tls } = stream.to;
    let socket = TcpStream::connect(address).context("cannot connect")?;
    if stream.pace == Pace::Fresh {
        // Closed by a reset, it leaves no port behind that waits: there are too few for a minute.
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    }
    let mut peer = match tls {
        None => Peer::new(socket)?,
        Some(client) => Peer::over_tls(socket, client, HOST)?,
    };
    if stream.pace != Pace::Fresh {
        peer.finish_handshake()?;
    }
    let peer = peer.expecting(stream.body);
    peer.register(epoll, token as u64)?;
    Ok(peer)
}
