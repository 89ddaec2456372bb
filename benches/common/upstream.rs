//! The upstream behind the proxies: 200 and the same bytes to every request, of one known length.
//!
//! It has no thread of its own: whoever waits on the epoll that it is registered with hands its
//! events over.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use anyhow::Result;
use memchr::memmem;
use rustix::event::epoll;
use socket2::{Domain, Protocol, Socket, Type};

use super::peer::{BODY, Peer};

/// Connections that wait to be accepted: all of a load's may come at once.
const BACKLOG: i32 = 4_096;
/// Tells the upstream's connections from all others in what epoll hands back.
const OWN: u64 = 1 << 32;
const LISTENER: u64 = u64::MAX;

/// A listener and its connections.
pub struct Upstream {
    listener: TcpListener,
    connections: Vec<Option<Connection>>,
    answer: Vec<u8>,
    /// Bytes of body in every request.
    upload: usize,
    /// The last head that came, while somebody wants to know.
    watched: Option<Vec<u8>>,
}

struct Connection {
    peer: Peer,
    /// Whether the head of a request has come that is not answered yet.
    due: bool,
}

impl Upstream {
    /// Listens on a free port, and tells of what comes through `epoll`.
    pub fn new(epoll: &OwnedFd) -> Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from(socket);
        let token = epoll::EventData::new_u64(LISTENER);
        epoll::add(epoll, &listener, token, epoll::EventFlags::IN)?;
        let (connections, answer) = (Vec::new(), answer(BODY));
        Ok(Self { listener, connections, answer, upload: 0, watched: None })
    }

    /// From now on every request carries so many bytes, and every answer so many.
    pub fn shape(&mut self, upload: usize, body: usize) {
        self.upload = upload;
        self.answer = answer(body);
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.listener.local_addr()?)
    }

    /// Whether an event with this token is for [`Self::handle`].
    pub fn owns(token: u64) -> bool {
        token & OWN != 0
    }

    /// Accepts, or answers what has come.
    pub fn handle(&mut self, epoll: &OwnedFd, token: u64) -> Result<()> {
        match token {
            LISTENER => self.accept(epoll),
            token => self.serve(epoll, (token ^ OWN) as usize),
        }
    }

    /// Keeps the last head that comes from now on.
    pub fn watch(&mut self) {
        self.watched = Some(Vec::new());
    }

    /// The last head that came since [`Self::watch`].
    pub fn seen(&mut self) -> Option<String> {
        let seen = self.watched.take()?;
        (!seen.is_empty()).then(|| String::from_utf8_lossy(&seen).into_owned())
    }

    fn accept(&mut self, epoll: &OwnedFd) -> Result<()> {
        loop {
            let stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            let connection = Connection { peer: Peer::new(stream)?, due: false };
            let free = self.connections.iter().position(Option::is_none);
            let index = free.unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            connection.peer.register(epoll, index as u64 | OWN)?;
            self.connections[index] = Some(connection);
        }
    }

    /// Answers every whole request that has come over one connection.
    fn serve(&mut self, epoll: &OwnedFd, index: usize) -> Result<()> {
        let Some(Connection { peer, due }) = &mut self.connections[index] else {
            return Ok(());
        };
        peer.flush()?;
        if !peer.read()? {
            self.connections[index] = None;
            return Ok(());
        }
        loop {
            if *due && !peer.is_owed() {
                peer.write(&self.answer)?;
                *due = false;
            }
            let end = if *due { None } else { memmem::find(peer.received(), b"\r\n\r\n") };
            let Some(end) = end else { break };
            let length = end + 4;
            if let Some(watched) = &mut self.watched {
                peer.received()[..length].clone_into(watched);
            }
            peer.consume(length);
            peer.discard(self.upload);
            *due = true;
        }
        peer.follow(epoll, index as u64 | OWN)
    }
}

fn answer(body: usize) -> Vec<u8> {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
    format!("{head}: {body}\r\n\r\n{}", "x".repeat(body)).into_bytes()
}
