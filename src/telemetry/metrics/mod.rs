//! Metrics: every number that the gateway tells of itself.
//!
//! The one rule: on the request path a number has one writer, so that counting takes nanoseconds
//! and no cache line is written by two workers. What is counted per worker is added up when the
//! metrics are asked for. Handles of routes and targets are resolved when a configuration is taken
//! up, and the same label gives the same counters for the life of the process.

mod cells;
mod encode;
mod route;
mod totals;
mod worker;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cells::{CHANGE_BOUNDS, Tally};
pub(super) use totals::Totals;

pub use cells::{Counter, Gauge, Histogram};
pub use encode::CONTENT_TYPE;
pub use route::{RouteMetrics, TargetMetrics};
pub use worker::{Http2Cut, KeyTableResult, WaitedFor, WorkerMetrics};

/// The route label of requests that matched no route.
pub const NO_ROUTE: &str = "none";

/// All metrics of the process.
pub struct Metrics {
    version: String,
    workers: Box<[Arc<WorkerMetrics>]>,
    routes: Mutex<BTreeMap<Arc<str>, Arc<RouteMetrics>>>,
    targets: Mutex<BTreeMap<TargetLabel, Weak<TargetMetrics>>>,
    sources: Mutex<Vec<Source>>,
    /// Argon2 runs since the start.
    pub argon2_runs: Counter,
    /// Secrets that Argon2 runs on or that wait for it.
    pub argon2_queue: Gauge,
    /// Tokens, sessions and set-up codes that did not let in by the admin plane.
    pub sign_ins_failed: Counter,
    /// Tries to come in there that were not looked at: their address had failed too often.
    pub sign_ins_blocked: Counter,
    /// 1 while the store is in reach and its changes are followed.
    pub store_up: Gauge,
    /// 1 while limits are shared by Redis.
    pub redis_up: Gauge,
    /// Questions put to Redis.
    pub redis_calls: Counter,
    /// Requests that Redis did not answer for in time.
    pub redis_late: Counter,
    /// Statements sent to the store.
    pub store_queries: Counter,
    /// Instances that run on the store, as far as this one has heard; itself counted.
    pub instances: Gauge,
    /// From a change's commit, or its notice where the commit's time is not known, until it is in
    /// force. Written by [`Histogram::observe_shared`].
    pub change_lag: Histogram,
    /// Secrets that the key table holds.
    pub key_table_entries: Gauge,
    /// Parts of budgets that the store has granted.
    pub leases_granted: Counter,
    /// The same, of which there was not enough.
    pub leases_short: Counter,
    /// The same, of which the store could not be asked.
    pub leases_failed: Counter,
    /// Webhooks' deliveries that were taken.
    pub webhooks_delivered: Counter,
    /// Attempts that failed and are followed by another.
    pub webhooks_retried: Counter,
    /// Deliveries that were given up.
    pub webhooks_failed: Counter,
    /// Deliveries that wait, of all instances.
    pub webhooks_waiting: Gauge,
    /// The age of the oldest of them.
    pub webhooks_oldest_seconds: Gauge,
    /// Access log lines that were lost because the output did not keep up or failed.
    pub access_log_dropped: Counter,
    /// Answered requests written to the usage journal.
    pub usage_written: Counter,
    /// Those of them that are on the books.
    pub usage_booked: Counter,
    /// Requests refused because the usage journal had no room.
    pub usage_refused: Counter,
    /// Bytes of the usage journal's segments.
    pub usage_bytes: Gauge,
    reloads_ok: Counter,
    reloads_failed: Counter,
    certificates_ok: Counter,
    certificates_failed: Counter,
}

/// Upstream and target.
type TargetLabel = (Arc<str>, Arc<str>);
type Source = Arc<dyn Fn(&Metrics) + Send + Sync>;

impl Metrics {
    /// Metrics for so many workers of a process of that version.
    pub fn new(workers: usize, version: &str) -> Arc<Self> {
        Arc::new(Self {
            version: version.to_owned(),
            workers: (0..workers).map(|_| Arc::new(WorkerMetrics::new())).collect(),
            routes: Mutex::default(),
            targets: Mutex::default(),
            sources: Mutex::default(),
            argon2_runs: Counter::default(),
            argon2_queue: Gauge::default(),
            sign_ins_failed: Counter::default(),
            sign_ins_blocked: Counter::default(),
            store_up: Gauge::default(),
            redis_up: Gauge::default(),
            redis_calls: Counter::default(),
            redis_late: Counter::default(),
            store_queries: Counter::default(),
            instances: Gauge::default(),
            change_lag: Histogram::new(&CHANGE_BOUNDS),
            key_table_entries: Gauge::default(),
            webhooks_delivered: Counter::default(),
            webhooks_retried: Counter::default(),
            webhooks_failed: Counter::default(),
            webhooks_waiting: Gauge::default(),
            webhooks_oldest_seconds: Gauge::default(),
            access_log_dropped: Counter::default(),
            usage_written: Counter::default(),
            usage_booked: Counter::default(),
            usage_refused: Counter::default(),
            leases_granted: Counter::default(),
            leases_short: Counter::default(),
            leases_failed: Counter::default(),
            usage_bytes: Gauge::default(),
            reloads_ok: Counter::default(),
            reloads_failed: Counter::default(),
            certificates_ok: Counter::default(),
            certificates_failed: Counter::default(),
        })
    }

    /// The counters of the worker of that index, which alone may write them. Panics where there is
    /// no such worker.
    pub fn worker(&self, index: usize) -> Arc<WorkerMetrics> {
        Arc::clone(&self.workers[index])
    }

    /// The counters of a route by its path as configured, or of [`NO_ROUTE`].
    pub fn route(&self, label: &str) -> Arc<RouteMetrics> {
        let mut routes = lock(&self.routes);
        if let Some(route) = routes.get(label) {
            return Arc::clone(route);
        }
        let route = Arc::new(RouteMetrics::new(self.workers.len()));
        routes.insert(label.into(), Arc::clone(&route));
        route
    }

    /// The state of an upstream's target (`host:port`). It is shown for as long as somebody holds
    /// it, so that a target that the configuration no longer has is not shown for ever.
    pub fn target(&self, upstream: &str, target: &str) -> Arc<TargetMetrics> {
        let mut targets = lock(&self.targets);
        targets.retain(|_, held| held.strong_count() > 0);
        let label: TargetLabel = (upstream.into(), target.into());
        if let Some(held) = targets.get(&label).and_then(Weak::upgrade) {
            return held;
        }
        let fresh = Arc::new(TargetMetrics::default());
        targets.insert(label, Arc::downgrade(&fresh));
        fresh
    }

    /// A reload of the configuration was taken up, or refused.
    pub fn config_reloaded(&self, accepted: bool) {
        if accepted { &self.reloads_ok } else { &self.reloads_failed }.increment();
    }

    /// Changed certificate files were taken up, or refused.
    pub fn certificates_reloaded(&self, accepted: bool) {
        if accepted { &self.certificates_ok } else { &self.certificates_failed }.increment();
    }

    /// Has `source` called each time the metrics are asked for, to take over what somebody else
    /// counts. It must not block.
    pub fn read_with(&self, source: impl Fn(&Self) + Send + Sync + 'static) {
        lock(&self.sources).push(Arc::new(source));
    }

    /// A tally over all workers.
    fn total(&self, of: impl Fn(&WorkerMetrics) -> &Tally) -> u64 {
        self.workers.iter().map(|worker| of(worker).read()).sum()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

/// Nothing under these locks can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
