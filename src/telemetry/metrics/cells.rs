//! The numbers that metrics are made of.
//!
//! A [`Tally`] and a [`Histogram`] of a worker have one writer, so that counting is a plain load,
//! add and store; a [`Counter`] and a [`Gauge`] may be written from anywhere. All are read without
//! stopping anybody: a reading over several of them is not of one instant.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds of each histogram; one more bucket takes what lies beyond the last.
const BOUNDS: usize = 16;

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// Upper bounds in nanoseconds, ascending.
pub(super) type Bounds = [u64; BOUNDS];

/// For whole requests: from a near upstream's quarter of a millisecond to the default timeout.
pub(super) const REQUEST_BOUNDS: Bounds = [
    250 * MICROSECOND,
    500 * MICROSECOND,
    MILLISECOND,
    2_500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2_500 * MILLISECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
];

/// For the gateway's own part: a known key costs microseconds, a first use an Argon2 run.
pub(super) const OVERHEAD_BOUNDS: Bounds = [
    5 * MICROSECOND,
    10 * MICROSECOND,
    20 * MICROSECOND,
    50 * MICROSECOND,
    100 * MICROSECOND,
    200 * MICROSECOND,
    500 * MICROSECOND,
    MILLISECOND,
    2 * MILLISECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    20 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
];

/// For changes of the store: finest around the 100 ms within which they must be in force.
pub(super) const CHANGE_BOUNDS: Bounds = [
    MILLISECOND,
    2 * MILLISECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    20 * MILLISECOND,
    30 * MILLISECOND,
    50 * MILLISECOND,
    75 * MILLISECOND,
    100 * MILLISECOND,
    150 * MILLISECOND,
    200 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    5 * SECOND,
    30 * SECOND,
    120 * SECOND,
];

/// A sum that one thread writes and any may read.
#[derive(Debug, Default)]
pub(super) struct Tally(AtomicU64);

impl Tally {
    /// Adds to it; a second writer at the same time would lose counts.
    pub(super) fn add(&self, amount: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that only grows, written from any thread. Not for the request path.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Takes over what somebody else has counted; never less than it was before.
    pub fn take_over(&self, total: u64) {
        self.0.fetch_max(total, Ordering::Relaxed);
    }

    /// What it stands at.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down, written from any thread. Not for the request path.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets it.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// One up; every one of these needs its [`Gauge::decrement`].
    pub fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One down.
    pub fn decrement(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// What it stands at.
    pub fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How often durations fell under each bound, and their sum.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static Bounds,
    buckets: [Tally; BOUNDS + 1],
    sum_ns: Tally,
}

impl Histogram {
    pub(super) fn new(bounds: &'static Bounds) -> Self {
        Self { bounds, buckets: Default::default(), sum_ns: Tally::default() }
    }

    /// Notes a duration; for the one writer.
    pub(super) fn observe(&self, duration: Duration) {
        let nanoseconds = nanoseconds(duration);
        self.buckets[self.place(nanoseconds)].add(1);
        self.sum_ns.add(nanoseconds);
    }

    /// Notes a duration, from any thread. Not for the request path.
    pub fn observe_shared(&self, duration: Duration) {
        let nanoseconds = nanoseconds(duration);
        self.buckets[self.place(nanoseconds)].0.fetch_add(1, Ordering::Relaxed);
        self.sum_ns.0.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    fn place(&self, nanoseconds: u64) -> usize {
        self.bounds.iter().position(|bound| nanoseconds <= *bound).unwrap_or(BOUNDS)
    }

    /// Adds its counts to a reading over several of the same bounds.
    pub(super) fn add_to(&self, reading: &mut Reading) {
        for (sum, tally) in reading.buckets.iter_mut().zip(&self.buckets) {
            *sum += tally.read();
        }
        reading.sum_ns = reading.sum_ns.wrapping_add(self.sum_ns.read());
    }
}

/// A duration's nanoseconds; 584 years and more are one.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What histograms of the same bounds say together.
#[derive(Clone, Debug)]
pub(in crate::telemetry) struct Reading {
    bounds: &'static Bounds,
    buckets: [u64; BOUNDS + 1],
    sum_ns: u64,
}

impl Reading {
    pub(super) fn of<'h>(
        bounds: &'static Bounds,
        histograms: impl IntoIterator<Item = &'h Histogram>,
    ) -> Self {
        let mut reading = Self { bounds, buckets: [0; BOUNDS + 1], sum_ns: 0 };
        histograms.into_iter().for_each(|histogram| histogram.add_to(&mut reading));
        reading
    }

    /// Upper bounds in seconds, the last one infinite, each with its own count (not cumulative).
    pub(super) fn buckets(&self) -> Vec<(f64, u64)> {
        let seconds = self.bounds.iter().map(|bound| *bound as f64 / SECOND as f64);
        seconds.chain([f64::INFINITY]).zip(self.buckets).collect()
    }

    /// What was noted since an earlier reading of the same histograms.
    pub(in crate::telemetry) fn since(&self, earlier: &Self) -> Self {
        let mut since = self.clone();
        for (count, before) in since.buckets.iter_mut().zip(earlier.buckets) {
            *count = count.saturating_sub(before);
        }
        since.sum_ns = self.sum_ns.wrapping_sub(earlier.sum_ns);
        since
    }

    /// The duration in nanoseconds that so many of a hundred did not pass, as if they lay evenly
    /// between two bounds; beyond the last bound, that one. `None`: there is none.
    pub(in crate::telemetry) fn percentile(&self, hundredths: u64) -> Option<u64> {
        let rank = (self.count() * hundredths).div_ceil(100).max(1);
        let (mut below, mut from) = (0, 0);
        for (to, count) in self.bounds.iter().zip(self.buckets) {
            if below + count >= rank {
                return Some(from + (to - from) * (rank - below) / count);
            }
            (below, from) = (below + count, *to);
        }
        (self.count() > 0).then_some(from)
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    pub(super) fn sum_s(&self) -> f64 {
        self.sum_ns as f64 / SECOND as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_ascend() {
        for bounds in [REQUEST_BOUNDS, OVERHEAD_BOUNDS, CHANGE_BOUNDS] {
            assert!(bounds.is_sorted_by(|one, next| one < next), "{bounds:?}");
        }
    }

    #[test]
    fn a_duration_counts_under_the_first_bound_that_it_does_not_pass() {
        let histogram = Histogram::new(&OVERHEAD_BOUNDS);
        histogram.observe(Duration::ZERO);
        histogram.observe(Duration::from_micros(5));
        histogram.observe(Duration::from_nanos(5_001));
        histogram.observe_shared(Duration::from_secs(2));
        let reading = Reading::of(&OVERHEAD_BOUNDS, [&histogram]);
        assert_eq!(reading.buckets[..2], [2, 1]);
        assert_eq!(reading.buckets[BOUNDS], 1);
        assert_eq!(reading.count(), 4);
        assert!((reading.sum_s() - 2.000_010_001).abs() < 1e-12, "{}", reading.sum_s());
    }

    #[test]
    fn a_percentile_lies_between_the_bounds_of_its_bucket() {
        let histogram = Histogram::new(&OVERHEAD_BOUNDS);
        let reading = || Reading::of(&OVERHEAD_BOUNDS, [&histogram]);
        assert_eq!(reading().percentile(50), None);
        (0..90).for_each(|_| histogram.observe(Duration::from_micros(15)));
        let before = reading();
        (0..8).for_each(|_| histogram.observe(Duration::from_micros(30)));
        (0..2).for_each(|_| histogram.observe(Duration::from_secs(9)));
        assert_eq!(reading().percentile(90), Some(20 * MICROSECOND));
        assert_eq!(reading().percentile(45), Some(15 * MICROSECOND));
        assert_eq!(reading().percentile(99), Some(SECOND));
        let since = reading().since(&before);
        assert_eq!((since.count(), since.percentile(40)), (10, Some(35 * MICROSECOND)));
    }

    #[test]
    fn a_counter_that_takes_over_another_count_never_goes_back() {
        let counter = Counter::default();
        counter.take_over(7);
        counter.take_over(5);
        counter.increment();
        assert_eq!(counter.read(), 8);
    }
}
