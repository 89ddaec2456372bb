//! The wiring: the only file that knows every part.

use std::net::SocketAddr;

use crate::config::LoadedConfig;
use crate::domain::Clock;

/// A running gateway.
pub struct Gateway {
    data_addresses: Vec<SocketAddr>,
    admin_address: SocketAddr,
}

impl Gateway {
    /// Starts both planes; they stand when this returns.
    #[expect(clippy::unused_async, reason = "binding and opening will wait")]
    pub async fn start(_loaded: LoadedConfig, _clock: Clock) -> anyhow::Result<Self> {
        anyhow::bail!("the gateway is not wired")
    }

    /// Where clients are taken.
    pub fn data_addresses(&self) -> &[SocketAddr] {
        &self.data_addresses
    }

    /// Where operators are taken.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until a signal says to stop, then drains.
    #[expect(clippy::unused_async, reason = "signals are waited for")]
    pub async fn run_until_stopped(self) {}
}
