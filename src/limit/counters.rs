//! All the windows of one key: checked as one step, then counted in all or in none.
//!
//! Every worker counts in the same [`KeyCounters`], behind a plain mutex. Several windows must be
//! looked at and stepped as one: with an atomic for each, a request that one window refuses would
//! have to give back what the others had taken, and could get a third request refused meanwhile.
//! The lock is held for some dozens of nanoseconds, and two workers meet at it only while they
//! serve the same key in the same instant. No await and no IO happens under it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::shared::SharedKey;
use super::window::Standing;
use super::windows::{Nearness, RouteId, Windows, subjects};
use crate::domain::{Limit, Refusal};

/// A limit that is reached: of several the one that is in the way longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// How it stands; `retry_after_ms` is at least 1.
    pub standing: Standing,
}

impl From<Exceeded> for Refusal {
    fn from(exceeded: Exceeded) -> Self {
        Self::RateLimited {
            limit: exceeded.standing.limit,
            retry_after: exceeded.standing.retry_after_seconds(),
            reset_in_ms: Some(exceeded.standing.reset_in_ms),
        }
    }
}

/// What one key has used of its limits.
#[derive(Debug, Default)]
pub struct KeyCounters {
    windows: Mutex<Windows>,
    /// In place of the windows, where limits are shared with other instances.
    shared: OnceLock<Arc<SharedKey>>,
}

impl KeyCounters {
    /// Lets a request through all the limits or none: where one is reached, nothing is counted.
    ///
    /// Gives the standing, after this request, of the limit nearest to its end: the one with the
    /// fewest requests left, of equals the one that takes longest to be whole again. `None` where
    /// there is no limit. Two limits of the same length are one window under the lower of them.
    pub fn take(
        &self,
        own: &[Limit],
        route: Option<(RouteId, &[Limit])>,
        now_ms: u64,
    ) -> Result<Option<Standing>, Exceeded> {
        let of_route = route.map_or(&[][..], |(_, limits)| limits);
        if own.is_empty() && of_route.is_empty() {
            return Ok(None);
        }
        let mut windows = self.lock();
        let mut exceeded: Option<Standing> = None;
        let mut nearest: Option<(Nearness, Option<RouteId>)> = None;
        for (subject, limit) in subjects(own, route) {
            let standing = windows.state(subject, limit, now_ms);
            if standing.remaining == 0
                && exceeded.is_none_or(|worst| standing.retry_after_ms > worst.retry_after_ms)
            {
                exceeded = Some(standing);
            }
            let nearness = Nearness::of(&standing);
            if nearest.is_none_or(|(nearest, _)| nearness < nearest) {
                nearest = Some((nearness, subject));
            }
        }
        if let Some(standing) = exceeded {
            return Err(Exceeded { standing });
        }
        windows.count(own, route, now_ms);
        Ok(nearest.map(|(nearness, subject)| windows.state(subject, nearness.limit(), now_ms)))
    }

    /// How each limit stands, the key's own first, in the order given; counts nothing.
    pub fn peek(
        &self,
        own: &[Limit],
        route: Option<(RouteId, &[Limit])>,
        now_ms: u64,
    ) -> Vec<Standing> {
        let mut windows = self.lock();
        subjects(own, route).map(|(id, limit)| windows.state(id, limit, now_ms)).collect()
    }

    /// Whether anything was counted of the key on a route of late; of shared limits, here.
    pub fn has_counted(&self, route: RouteId) -> bool {
        match self.shared.get() {
            Some(shared) => shared.has_counted(route),
            None => self.lock().has_counted(route),
        }
    }

    /// What the key has counted and holds where limits are shared; made when it is first used.
    pub(super) fn shared(&self, make: impl FnOnce() -> Arc<SharedKey>) -> &Arc<SharedKey> {
        self.shared.get_or_init(make)
    }

    fn lock(&self) -> MutexGuard<'_, Windows> {
        // Nothing in here panics half-way; a poisoned lock would only be another's panic.
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn limits<const N: usize>(texts: [&str; N]) -> [Limit; N] {
        texts.map(|text| text.parse().unwrap())
    }

    fn route(path: &str) -> RouteId {
        RouteId::of([path, "GET"])
    }

    #[test]
    fn without_limits_everything_passes_and_nothing_stands() {
        assert_eq!(KeyCounters::default().take(&[], None, 0), Ok(None));
        assert_eq!(KeyCounters::default().take(&[], Some((route("/a"), &[])), 0), Ok(None));
    }

    #[test]
    fn the_window_nearest_to_its_end_speaks_and_of_equals_the_longer() {
        let counters = KeyCounters::default();
        let own = limits(["4/min", "5/hour"]);
        let of_route = limits(["5/s"]);
        let spoke = |now_ms| {
            let route = Some((route("/a"), &of_route[..]));
            let standing = counters.take(&own, route, now_ms).unwrap().unwrap();
            (standing.limit, standing.remaining, standing.reset_in_ms)
        };
        assert_eq!(spoke(0), (own[0], 3, 60_000));
        assert_eq!(spoke(60_000), (own[1], 3, 3_600_000));
        assert_eq!(spoke(60_000), (own[1], 2, 3_600_000));
    }

    #[test]
    fn a_refused_request_counts_in_no_window() {
        let counters = KeyCounters::default();
        let own = limits(["100/min", "1000/hour"]);
        let of_route = limits(["1/min"]);
        let route = Some((route("/a"), &of_route[..]));
        for _ in 0..50 {
            let _ = counters.take(&own, route, 0);
        }
        let remaining: Vec<u32> =
            counters.peek(&own, route, 0).iter().map(|s| s.remaining).collect();
        assert_eq!(remaining, [99, 999, 0]);
    }

    #[test]
    fn of_several_reached_limits_the_one_longest_in_the_way_is_named() {
        let counters = KeyCounters::default();
        let own = limits(["1/s", "1/hour", "1/min"]);
        counters.take(&own, None, 0).unwrap();
        let Exceeded { standing } = counters.take(&own, None, 500).unwrap_err();
        assert_eq!((standing.limit, standing.retry_after_ms), (own[1], 3_599_500));
        let refusal = Refusal::from(Exceeded { standing });
        let expected = Refusal::RateLimited {
            limit: own[1],
            retry_after: 3_600,
            reset_in_ms: Some(3_599_500),
        };
        assert_eq!(refusal, expected);
    }

    #[test]
    fn each_route_counts_for_itself_and_the_key_over_all() {
        let counters = KeyCounters::default();
        let own = limits(["3/min"]);
        let of_route = limits(["1/min"]);
        let take = |path| counters.take(&own, Some((route(path), &of_route)), 0);
        assert!(take("/a").is_ok());
        assert!(take("/b").is_ok());
        assert_eq!(["/a", "/c"].map(|path| counters.has_counted(route(path))), [true, false]);
        assert_eq!(take("/a").unwrap_err().standing.limit, of_route[0]);
        assert!(take("/c").is_ok());
        assert_eq!(take("/d").unwrap_err().standing.limit, own[0]);
    }

    #[test]
    fn two_limits_of_one_length_count_once_under_the_lower() {
        let counters = KeyCounters::default();
        let own = limits(["5/min", "3/min"]);
        let passed = (0..10).filter(|_| counters.take(&own, None, 0).is_ok()).count();
        assert_eq!(passed, 3);
    }

    #[test]
    fn looking_counts_nothing_and_needs_no_window() {
        let counters = KeyCounters::default();
        let own = limits(["5/min"]);
        for _ in 0..9 {
            assert_eq!(counters.peek(&own, None, 0), [Standing::whole(own[0])]);
        }
    }

    #[test]
    fn windows_of_routes_that_rest_are_dropped_when_one_more_is_needed() {
        let counters = KeyCounters::default();
        let of_route = limits(["5/s"]);
        for turn in 0..100u64 {
            let path = format!("/{turn}");
            counters.take(&[], Some((route(&path), &of_route)), turn * 1_000).unwrap();
        }
        assert_eq!(counters.lock().routes(), 1);
    }

    #[test]
    fn of_requests_at_once_on_many_threads_exactly_the_limit_passes() {
        let counters = KeyCounters::default();
        let own = limits(["60/min", "1000/hour"]);
        let together = Barrier::new(8);
        let passed: usize = thread::scope(|scope| {
            let client = |skew: u64| {
                together.wait();
                // Each thread's clock is read at another moment.
                (0..100)
                    .filter(|turn| counters.take(&own, None, 5_000 + skew * turn).is_ok())
                    .count()
            };
            let threads: Vec<_> = (0..8).map(|skew| scope.spawn(move || client(skew))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(passed, 60);
    }
}
