//! The sockets that listen, bound before anything serves on them.

use std::io;
use std::net::{SocketAddr, TcpListener};

use anyhow::Context as _;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Config;
use crate::proxy::worker;

/// Connections that the kernel holds for a listener that is busy.
const BACKLOG: i32 = 1_024;

/// Sockets that listen, before anything serves on them.
pub(super) struct Listeners {
    /// A set for each worker.
    pub(super) data: Vec<worker::Listeners>,
    pub(super) data_addresses: Vec<SocketAddr>,
    pub(super) redirect_address: Option<SocketAddr>,
    pub(super) admin: TcpListener,
    pub(super) admin_address: SocketAddr,
}

impl Listeners {
    pub(super) fn bind(config: &Config) -> anyhow::Result<Self> {
        let mut data: Vec<worker::Listeners> = Vec::new();
        let none = || worker::Listeners { serve: Vec::new(), redirect: None };
        data.resize_with(config.server.workers, none);
        let mut data_addresses = Vec::new();
        for address in &config.server.listen {
            data_addresses.push(shared(*address, &mut data, |worker, it| worker.serve.push(it))?);
        }
        let redirect =
            |address| shared(address, &mut data, |worker, it| worker.redirect = Some(it));
        let redirect_address = config.server.redirect_http.map(redirect).transpose()?;
        let admin = listen(config.admin_listen, false)
            .with_context(|| cannot_listen(config.admin_listen))?;
        let admin_address = admin.local_addr()?;
        Ok(Self { data, data_addresses, redirect_address, admin, admin_address })
    }
}

/// A listener for each worker on one address. The first takes the port where it is 0, the others
/// share it.
fn shared(
    mut address: SocketAddr,
    workers: &mut [worker::Listeners],
    give: impl Fn(&mut worker::Listeners, TcpListener),
) -> anyhow::Result<SocketAddr> {
    for worker in workers {
        let listener = listen(address, true).with_context(|| cannot_listen(address))?;
        address = listener.local_addr()?;
        give(worker, listener);
    }
    Ok(address)
}

fn cannot_listen(address: SocketAddr) -> String {
    format!("cannot listen on {address}; is another process using the port?")
}

/// Each worker listens for itself on the same port (`SO_REUSEPORT`): the kernel spreads the
/// connections, and no accepted one changes its thread.
fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
