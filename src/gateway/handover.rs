//! How this process leaves its place to another that listens on the same addresses already.
//!
//! A handshake that is under way belongs to the listener that its first segment came to, and is reset
//! with it, unless the kernel is told to move it (`net.ipv4.tcp_migrate_req`). So before listeners
//! close, no new one is begun, and those that are under way are waited for.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::others;
use crate::proxy::worker::Order;

/// How long handshakes are waited for: a round trip across a continent. Longer, and more of those
/// who come meanwhile and whom the kernel sends here would have to ask twice, a second apart; shorter,
/// and more from afar would be reset.
const HANDSHAKE: Duration = Duration::from_millis(50);
/// Whether the kernel moves what a listener has when it closes to another that shares its address.
const MIGRATES: &str = "/proc/sys/net/ipv4/tcp_migrate_req";

/// Addresses, each with how many sockets of this process's own listen there.
pub(super) struct Shares(pub(super) Vec<(SocketAddr, usize)>);

impl Shares {
    /// Where another process listens beside this one, waits until this one's listeners can be closed
    /// without harm to who is on the way.
    pub(super) async fn leave(&self, orders: &watch::Sender<Order>, at_most: Duration) {
        let is_shared = |(address, own): &(_, usize)| others::listening_on(*address) > *own;
        if !self.0.iter().any(is_shared) {
            return;
        }
        tracing::info!("another process listens here too: new connections are left to it");
        if !fs::read(MIGRATES).is_ok_and(|set| set.starts_with(b"1")) {
            orders.send_replace(Order::LeaveNewcomers);
            sleep(HANDSHAKE.min(at_most)).await;
        }
    }
}
