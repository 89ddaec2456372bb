//! What is counted of a route and of an upstream's target: handles, resolved when a configuration
//! is taken up, so that a request looks nothing up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use super::cells::{Counter, Gauge, Tally};

/// Statuses that a route tells apart on one worker; all further ones count as `other`.
const STATUSES: usize = 16;

/// How often a route was answered with each status.
#[derive(Debug)]
pub struct RouteMetrics {
    workers: Box<[StatusCells]>,
}

impl RouteMetrics {
    pub(super) fn new(workers: usize) -> Self {
        Self { workers: (0..workers).map(|_| StatusCells::default()).collect() }
    }

    /// A request of the route was answered with `status`, on the worker of that index (below the
    /// number that [`super::Metrics::new`] was given). Only that worker may say so.
    pub fn answered(&self, worker: usize, status: u16) {
        self.workers[worker].count(status);
    }

    /// Counts by status over all workers; 0 stands for `other`.
    pub(super) fn read(&self) -> BTreeMap<u16, u64> {
        let mut counts = BTreeMap::new();
        for (status, count) in self.workers.iter().flat_map(StatusCells::read) {
            *counts.entry(status).or_default() += count;
        }
        counts
    }
}

/// One worker's counts. Cells are given to statuses as they come, 0 marks a free one; few of them
/// are ever met on one route, so that the search ends in the first cells.
#[derive(Debug, Default)]
#[repr(align(128))]
struct StatusCells {
    statuses: [AtomicU16; STATUSES],
    counts: [Tally; STATUSES],
    other: Tally,
}

impl StatusCells {
    fn count(&self, status: u16) {
        for (cell, count) in self.statuses.iter().zip(&self.counts) {
            let held = cell.load(Ordering::Relaxed);
            if held == status {
                return count.add(1);
            }
            if held == 0 {
                cell.store(status, Ordering::Relaxed);
                return count.add(1);
            }
        }
        self.other.add(1);
    }

    fn read(&self) -> impl Iterator<Item = (u16, u64)> {
        let cells = self.statuses.iter().zip(&self.counts);
        cells
            .map(|(status, count)| (status.load(Ordering::Relaxed), count.read()))
            // A cell that is just being given away is read the next time.
            .filter(|(status, _)| *status != 0)
            .chain([(0, self.other.read())])
            .filter(|(_, count)| *count > 0)
    }
}

/// How one target of an upstream stands. Written where something is made, waited for or gone wrong,
/// and by no request that goes as it should.
#[derive(Debug)]
pub struct TargetMetrics {
    up: AtomicBool,
    /// How often it was left out because it failed again and again.
    pub ejections: Counter,
    /// Requests that failed on it and were sent again.
    pub retries: Counter,
    /// Connections to it that are open or being made.
    pub connections: Gauge,
    /// Requests that wait until one of its connections is free.
    pub waiting: Gauge,
    /// Requests that found too many waiting, or waited in vain.
    pub overloaded: Counter,
}

impl Default for TargetMetrics {
    /// A target is up until it is found not to be.
    fn default() -> Self {
        Self {
            up: AtomicBool::new(true),
            ejections: Counter::default(),
            retries: Counter::default(),
            connections: Gauge::default(),
            waiting: Gauge::default(),
            overloaded: Counter::default(),
        }
    }
}

impl TargetMetrics {
    /// Notes whether the target can be used. Writes only what has changed, so that workers that
    /// all say the same share the cache line for reading.
    pub fn set_up(&self, up: bool) {
        if self.is_up() != up {
            self.up.store(up, Ordering::Relaxed);
        }
    }

    /// Whether it was usable when it was last looked at.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_summed_over_the_workers() {
        let route = RouteMetrics::new(2);
        route.answered(0, 200);
        route.answered(1, 401);
        route.answered(1, 200);
        assert_eq!(route.read(), BTreeMap::from([(200, 2), (401, 1)]));
    }

    #[test]
    fn statuses_beyond_the_cells_count_as_other_and_none_is_lost() {
        let route = RouteMetrics::new(1);
        for status in 200..230 {
            route.answered(0, status);
            route.answered(0, status);
        }
        let counts = route.read();
        assert_eq!(counts.values().sum::<u64>(), 60);
        assert_eq!(counts[&0], 2 * (30 - STATUSES as u64));
    }
}
