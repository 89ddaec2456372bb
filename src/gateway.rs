//! The wiring: the only file that knows every part.
//!
//! Two planes in one process: each worker a thread with a runtime of its own, and around them the
//! control plane on the runtime that [`Gateway::start`] is called on.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use jiff::Timestamp;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::runtime::{Builder, LocalOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::admin::{self, Admin};
use crate::auth::Authenticator;
use crate::auth::pool::Argon2Pool;
use crate::auth::sync::{Sync, Synchroniser};
use crate::config::reload::Watcher;
use crate::config::{self, Config, ConfigError, LoadedConfig, Variables};
use crate::domain::Clock;
use crate::key::hash::DigestKey;
use crate::proxy::plan::Plan;
use crate::proxy::worker::{self, Order, Shared};
use crate::store::Store;
use crate::telemetry::access_log::AccessLog;
use crate::telemetry::metrics::Metrics;

/// Connections that the kernel holds for a listener that is busy.
const BACKLOG: i32 = 1_024;
/// How often last uses are written to the store.
const FLUSH_USES: Duration = Duration::from_secs(30);

/// A running gateway.
pub struct Gateway {
    admin: Arc<Admin>,
    orders: watch::Sender<Order>,
    workers: Vec<JoinHandle<()>>,
    data_addresses: Vec<SocketAddr>,
    admin_address: SocketAddr,
    file: config::reload::Source,
}
