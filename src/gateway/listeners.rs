//! The sockets that listen: bound before anything else is made, listening when all is there to
//! serve.
//!
//! Every one of them shares its port (`SO_REUSEPORT`). Workers share it with each other: the kernel
//! spreads the connections, and no accepted one changes its thread. A second process of the same
//! user shares it too, which is how one takes another's place. The kernel refuses the port to
//! anybody else, and to us where it is not shared.

use std::io;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};

use super::handover::Shares;
use super::others;
use super::systemd::Inherited;
use crate::config::Config;
use crate::proxy::listener::Listener;
use crate::proxy::worker;

/// Connections that the kernel holds for a listener that is busy.
const BACKLOG: i32 = 1_024;

/// Sockets that have their addresses.
pub(super) struct Bound {
    serve: Vec<Place>,
    redirect: Option<Place>,
    admin: Place,
}

impl Bound {
    /// Takes every address of the configuration, with the sockets that systemd has for them.
    ///
    /// Errors: an address that somebody else has, or a handed over socket that no setting names.
    pub(super) fn new(config: &Config, mut inherited: Inherited) -> anyhow::Result<Self> {
        let workers = config.server.workers;
        let mut bind = |address: &SocketAddr, count| Place::bind(*address, count, &mut inherited);
        let listen = config.server.listen.iter();
        let bound = Self {
            serve: listen.map(|address| bind(address, workers)).collect::<Result<_, _>>()?,
            redirect: config.server.redirect_http.map(|to| bind(&to, workers)).transpose()?,
            admin: bind(&config.admin.listen, 1)?,
        };
        inherited.must_be_used_up()?;
        Ok(bound)
    }

    /// Where the data plane will listen.
    pub(super) fn data_addresses(&self) -> Vec<SocketAddr> {
        self.serve.iter().map(|place| place.address).collect()
    }

    /// Where clients will be sent from to TLS, if anywhere.
    pub(super) fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect.as_ref().map(|place| place.address)
    }

    /// Has the kernel take connections from here on.
    pub(super) fn listen(self) -> anyhow::Result<Listeners> {
        let own = self.serve.iter().chain(&self.redirect).filter(|place| !place.is_inherited);
        let shares = Shares(own.map(|place| (place.address, place.sockets.len())).collect());
        let mut workers: Vec<worker::Listeners> = Vec::new();
        for place in self.serve {
            give(place.listen()?, &mut workers, |worker, listener| worker.serve.push(listener));
        }
        if let Some(place) = self.redirect {
            let give_one = |worker: &mut worker::Listeners, it| worker.redirect = Some(it);
            give(place.listen()?, &mut workers, give_one);
        }
        let admin = self.admin.listen()?.remove(0);
        Ok(Listeners { workers, admin, shares })
    }
}

/// Sockets that listen.
pub(super) struct Listeners {
    /// A set for each worker.
    pub(super) workers: Vec<worker::Listeners>,
    pub(super) admin: Listener,
    /// Those of the workers.
    pub(super) shares: Shares,
}

/// The sockets on one address.
struct Place {
    address: SocketAddr,
    sockets: Vec<Socket>,
    is_inherited: bool,
}

impl Place {
    /// So many sockets on one address. Where the port is 0, the first finds one and the others
    /// share it. What systemd has handed over is one socket, whose queue all of them share.
    fn bind(
        mut address: SocketAddr,
        count: usize,
        inherited: &mut Inherited,
    ) -> anyhow::Result<Self> {
        let mut sockets = Vec::with_capacity(count);
        let handed_over = inherited.take(address);
        let is_inherited = handed_over.is_some();
        if let Some(socket) = handed_over {
            for _ in 1..count {
                sockets.push(socket.try_clone().context("an inherited socket can't be shared")?);
            }
            sockets.push(socket);
        }
        while sockets.len() < count {
            let socket = bind(address).with_context(|| cannot_listen(address))?;
            let bound = socket.local_addr()?.as_socket();
            address = bound.expect("a TCP socket has an internet address");
            sockets.push(socket);
        }
        Ok(Self { address, sockets, is_inherited })
    }

    fn listen(self) -> anyhow::Result<Vec<Listener>> {
        let Self { address, sockets, is_inherited } = self;
        if !is_inherited {
            if others::listening_on(address) > 0 {
                tracing::warn!(
                    %address,
                    "another process listens there too: connections go to either until one of them \
                     is stopped"
                );
            }
            for socket in &sockets {
                socket.listen(BACKLOG).with_context(|| cannot_listen(address))?;
            }
        }
        let listener = |socket| Listener { socket: TcpListener::from(socket), is_inherited };
        Ok(sockets.into_iter().map(listener).collect())
    }
}

/// Hands each worker its own.
fn give(
    listeners: Vec<Listener>,
    workers: &mut Vec<worker::Listeners>,
    give_one: impl Fn(&mut worker::Listeners, Listener),
) {
    workers.resize_with(listeners.len(), worker::Listeners::default);
    for (worker, listener) in workers.iter_mut().zip(listeners) {
        give_one(worker, listener);
    }
}

fn cannot_listen(address: SocketAddr) -> String {
    format!("cannot listen on {address}; is another process using the port?")
}

fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}
