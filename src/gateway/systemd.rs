//! What systemd hands over (sockets) and is told (ready, reloading, stopping). Without it all of this
//! is nothing: the variables that it sets are not there.
//!
//! The one place that names its two crates, which read `LISTEN_FDS` and `NOTIFY_SOCKET` themselves.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use socket2::Socket;

/// Sockets that listen already, by their addresses.
pub(super) struct Inherited(Vec<(SocketAddr, Socket)>);

impl Inherited {
    /// Takes the sockets of systemd's protocol (`sd_listen_fds(3)`). Must come before other threads
    /// look at the environment: the variables are removed from it, so that no child takes them for
    /// its own.
    ///
    /// Errors: something handed over that is no listening TCP socket.
    pub(super) fn from_environment() -> anyhow::Result<Self> {
        let mut handed_over = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(handed_over.len());
        for number in 0..handed_over.len() {
            let what = || format!("LISTEN_FDS: number {number} is no TCP socket that listens");
            let socket = handed_over.take_tcp_listener(number).with_context(what)?;
            let socket = Socket::from(socket.with_context(what)?);
            let address = socket.local_addr()?.as_socket().with_context(what)?;
            if !socket.is_listener()? {
                bail!(what());
            }
            socket.set_nonblocking(true)?;
            sockets.push((address, socket));
        }
        Ok(Self(sockets))
    }

    /// The socket on exactly this address, if one was handed over.
    pub(super) fn take(&mut self, address: SocketAddr) -> Option<Socket> {
        let found = self.0.iter().position(|(theirs, _)| *theirs == address)?;
        Some(self.0.swap_remove(found).1)
    }

    /// Nobody would ever answer on a socket that was handed over and is not taken.
    pub(super) fn must_be_used_up(&self) -> anyhow::Result<()> {
        let Some((address, _)) = self.0.first() else { return Ok(()) };
        bail!(
            "a socket on {address} was handed over (LISTEN_FDS), and that is none of \
             server.listen, server.redirect_http and admin.listen: write ListenStream= as the \
             setting has it, with the address"
        )
    }
}

/// It serves, or serves by the new configuration.
pub(super) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// The configuration is read again; [`ready`] follows, whatever comes of it.
pub(super) fn reloading() {
    // Without the time, systemd takes the whole message for a mistake.
    let Ok(now) = NotifyState::monotonic_usec_now() else { return };
    notify(&[NotifyState::Reloading, now]);
}

/// It drains, and ends.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told (NOTIFY_SOCKET)");
    }
}
