//! Counters of the request path, one set a worker, added up when they are asked for.
//!
//! Every number a request touches has one writer, so that counting is a plain addition and no
//! cache line is shared. No label's values grow with the number of keys.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::Reason;

/// Upper bounds of the histograms' buckets, in seconds.
pub const BOUNDS: [f64; 14] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5,
    10.0,
];

/// A number that one thread writes and any may read.
#[derive(Debug, Default)]
pub struct Tally(AtomicU64);

impl Tally {
    /// Adds to it; only the one writer may.
    pub fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + amount, Ordering::Relaxed);
    }

    /// What it is.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [Tally; BOUNDS.len() + 1],
    sum_us: Tally,
}

impl Histogram {
    /// Notes a duration in seconds.
    #[expect(clippy::cast_sign_loss, reason = "no duration is negative")]
    pub fn observe(&self, seconds: f64) {
        let place = BOUNDS.iter().position(|bound| seconds <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[place].add(1);
        self.sum_us.add((seconds * 1e6) as u64);
    }
}

/// One worker's counters.
#[derive(Default)]
pub struct WorkerMetrics {
    routes: Mutex<BTreeMap<Arc<str>, Arc<StatusTallies>>>,
    /// Refusals by [`Reason::index`].
    pub refusals: [Tally; Reason::ALL.len()],
    /// Requests whose secret's digest was in the table.
    pub table_hits: Tally,
    /// From the head to the last byte.
    pub duration: Histogram,
    /// What of it was the gateway's own, up to the answer's head.
    pub overhead: Histogram,
    /// Client connections accepted.
    pub connections: Tally,
    /// Client connections beyond `server.max_connections`.
    pub refused_connections: Tally,
}

/// How often each status was answered; the common ones at fixed places.
#[derive(Debug, Default)]
pub struct StatusTallies {
    places: [Tally; STATUSES.len() + 1],
}

/// Statuses that are told apart; all others count as `other`.
const STATUSES: [u16; 31] = [
    101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404, 405, 409,
    413, 415, 422, 429, 431, 499, 500, 501, 502, 503, 504, 416,
];

impl StatusTallies {
    /// Counts one answer.
    pub fn count(&self, status: u16) {
        let place = STATUSES.iter().position(|known| *known == status);
        self.places[place.unwrap_or(STATUSES.len())].add(1);
    }

    /// Every status that was answered, with how often; the last of them is `other`.
    pub fn read(&self) -> impl Iterator<Item = (Option<u16>, u64)> + '_ {
        let counted = self.places.iter().enumerate().map(|(place, tally)| (place, tally.read()));
        counted
            .filter(|(_, count)| *count > 0)
            .map(|(place, count)| (STATUSES.get(place).copied(), count))
    }
}

impl WorkerMetrics {
    /// The counters of a route, by its path; resolved when a configuration is taken up.
    pub fn route(&self, path: &Arc<str>) -> Arc<StatusTallies> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(routes.entry(Arc::clone(path)).or_default())
    }
}

/// All workers' counters.
#[derive(Default)]
pub struct Metrics {
    workers: Mutex<Vec<Arc<WorkerMetrics>>>,
}

/// Durations of all workers: counts by bucket, and their sum in seconds.
pub struct Durations {
    /// Behind each bound and, last, beyond all; not cumulative.
    pub buckets: Vec<u64>,
    /// In seconds.
    pub sum: f64,
}

impl Metrics {
    /// Counters for one more worker.
    pub fn worker(&self) -> Arc<WorkerMetrics> {
        let worker = Arc::new(WorkerMetrics::default());
        self.workers().push(Arc::clone(&worker));
        worker
    }

    /// A number over all workers.
    pub fn total(&self, of: impl Fn(&WorkerMetrics) -> u64) -> u64 {
        self.workers().iter().map(|worker| of(worker)).sum()
    }

    /// Requests by route and status.
    pub fn requests(&self) -> BTreeMap<(Arc<str>, Option<u16>), u64> {
        let mut requests = BTreeMap::new();
        for worker in self.workers().iter() {
            let routes = worker.routes.lock().unwrap_or_else(PoisonError::into_inner);
            for (path, tallies) in routes.iter() {
                for (status, count) in tallies.read() {
                    *requests.entry((Arc::clone(path), status)).or_default() += count;
                }
            }
        }
        requests
    }

    /// A histogram over all workers.
    pub fn durations(&self, of: impl Fn(&WorkerMetrics) -> &Histogram) -> Durations {
        let mut durations = Durations { buckets: vec![0; BOUNDS.len() + 1], sum: 0.0 };
        for worker in self.workers().iter() {
            let histogram = of(worker);
            for (sum, tally) in durations.buckets.iter_mut().zip(&histogram.buckets) {
                *sum += tally.read();
            }
            durations.sum += histogram.sum_us.read() as f64 / 1e6;
        }
        durations
    }

    fn workers(&self) -> MutexGuard<'_, Vec<Arc<WorkerMetrics>>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
