//! One sliding window: a log of what passed in it, no finer than it need be.
//!
//! A pass is written down with its millisecond; passes that come within a [`PARTS`]th of the window
//! after the first of a run are one entry, which has the time of its last one. An entry leaves when
//! that time is a whole window ago, so what is counted is never less than what passed in the window
//! that ends now, and a limit is never exceeded. The price is lateness, never excess: a pass is
//! forgotten after the window and at most a [`PARTS`]th more. A client that spaces its requests
//! evenly at a limit of up to sixty loses nothing by that, at a higher one at most one in [`PARTS`].
//!
//! A grid of buckets would be flatter (65 counters of four bytes, whether used or not), but takes
//! one in sixty-four from *every* paced client, and knows when a window is whole again only to a
//! bucket. Here memory follows use: 64 bytes at rest, eight more for each entry, at most 64 of them.

use std::collections::VecDeque;
use std::num::NonZeroU32;

use crate::domain::{Limit, Window};

/// Parts of a window that are told apart: with the entry that is leaving, 64 entries at most.
const PARTS: u64 = 63;

/// How a limit stands at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which limit.
    pub limit: Limit,
    /// Requests that would still pass now.
    pub remaining: u32,
    /// Milliseconds until the next request passes, if none comes before it; 0: it passes now.
    pub retry_after_ms: u64,
    /// Milliseconds until the window is whole again, if no request comes before that; 0: it is.
    pub reset_in_ms: u64,
}

impl Standing {
    /// A limit that nothing was counted against.
    pub fn whole(limit: Limit) -> Self {
        Self { limit, remaining: limit.max.get(), retry_after_ms: 0, reset_in_ms: 0 }
    }

    /// What `Retry-After` says: whole seconds, rounded up, at least 1.
    pub fn retry_after_seconds(&self) -> u64 {
        self.retry_after_ms.div_ceil(1_000).max(1)
    }
}

/// Counts over one length of time. The limit comes with each question, so that changing it keeps
/// what was counted.
///
/// Time that goes back (two threads that read the clock and then met at the lock in the other
/// order) stands still until it has caught up: a pass is never counted as older than the last one.
#[derive(Clone, Debug)]
pub struct SlidingWindow {
    window: Window,
    /// Oldest first.
    runs: VecDeque<Run>,
    /// The sum over `runs`.
    passed: u64,
    /// When the last pass was.
    newest_ms: u64,
    /// Until when, this moment excluded, a pass joins the last run.
    joins_until_ms: u64,
}

/// Passes that are counted and forgotten together.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// When the last of them was; the low half suffices, see [`SlidingWindow::age_ms`].
    last_ms: u32,
    passes: u32,
}

impl SlidingWindow {
    /// An empty window of this length. Takes no memory of its own before the first pass.
    pub fn new(window: Window) -> Self {
        Self { window, runs: VecDeque::new(), passed: 0, newest_ms: 0, joins_until_ms: 0 }
    }

    /// The length it counts over.
    pub fn window(&self) -> Window {
        self.window
    }

    /// How a limit of `max` stands. Forgets what has left the window, changes nothing else.
    pub fn state(&mut self, max: NonZeroU32, now_ms: u64) -> Standing {
        let now_ms = self.advance(now_ms);
        let over = (self.passed + 1).saturating_sub(u64::from(max.get()));
        Standing {
            limit: Limit { max, window: self.window },
            remaining: u64::from(max.get()).saturating_sub(self.passed) as u32,
            retry_after_ms: if over == 0 { 0 } else { self.frees_in_ms(over, now_ms) },
            reset_in_ms: if self.passed == 0 { 0 } else { self.leaves_in_ms(self.newest_ms, now_ms) },
        }
    }

    /// Whether nothing is counted any more.
    pub fn is_empty(&mut self, now_ms: u64) -> bool {
        self.advance(now_ms);
        self.passed == 0
    }

    /// Counts one pass. Whether it may pass was asked of [`SlidingWindow::state`] at the same
    /// moment, under the same lock.
    pub fn take(&mut self, now_ms: u64) {
        let now_ms = self.advance(now_ms);
        self.newest_ms = now_ms;
        match self.runs.back_mut() {
            Some(run) if now_ms < self.joins_until_ms && run.passes < u32::MAX => {
                run.last_ms = now_ms as u32;
                run.passes += 1;
            }
            _ => {
                self.runs.push_back(Run { last_ms: now_ms as u32, passes: 1 });
                self.joins_until_ms = now_ms + length_ms(self.window).div_ceil(PARTS);
            }
        }
        self.passed += 1;
    }

    /// Forgets the runs that have left the window; gives the time to go on with.
    fn advance(&mut self, now_ms: u64) -> u64 {
        let now_ms = now_ms.max(self.newest_ms);
        let length_ms = length_ms(self.window);
        if now_ms - self.newest_ms >= length_ms {
            self.runs.clear();
            self.passed = 0;
        }
        while let Some(run) = self.runs.front()
            && age_ms(run, now_ms) >= length_ms
        {
            self.passed -= u64::from(run.passes);
            self.runs.pop_front();
        }
        now_ms
    }

    /// How long until `over` passes at least have left.
    fn frees_in_ms(&self, over: u64, now_ms: u64) -> u64 {
        let mut left = 0;
        for run in &self.runs {
            left += u64::from(run.passes);
            if left >= over {
                return length_ms(self.window) - age_ms(run, now_ms);
            }
        }
        self.leaves_in_ms(self.newest_ms, now_ms)
    }

    fn leaves_in_ms(&self, at_ms: u64, now_ms: u64) -> u64 {
        (at_ms + length_ms(self.window)).saturating_sub(now_ms)
    }
}

/// How long ago the run's last pass was. Thirty-two bits of milliseconds go round in 49 days; what
/// is kept is less than two of the longest windows old, because [`SlidingWindow::advance`] empties
/// a window whose newest pass has left before it looks at any run.
fn age_ms(run: &Run, now_ms: u64) -> u64 {
    u64::from((now_ms as u32).wrapping_sub(run.last_ms))
}

fn length_ms(window: Window) -> u64 {
    u64::from(window.seconds()) * 1_000
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE_MS: u64 = 60_000;

    fn max(max: u32) -> NonZeroU32 {
        NonZeroU32::new(max).unwrap()
    }

    fn passes(window: &mut SlidingWindow, limit: u32, now_ms: u64) -> bool {
        let passes = window.state(max(limit), now_ms).remaining > 0;
        if passes {
            window.take(now_ms);
        }
        passes
    }

    #[test]
    fn the_limit_passes_at_once_and_no_more() {
        let mut window = SlidingWindow::new(Window::Minute);
        assert_eq!((0..100).filter(|_| passes(&mut window, 60, 5_000)).count(), 60);
    }

    #[test]
    fn a_client_that_keeps_an_even_pace_at_the_limit_is_never_refused() {
        for limit in [1, 7, 30, 60] {
            let mut window = SlidingWindow::new(Window::Minute);
            for turn in 0..500 {
                let now_ms = 123 + (turn * MINUTE_MS).div_ceil(limit);
                assert!(passes(&mut window, limit as u32, now_ms), "{limit}/min, request {turn}");
            }
        }
    }

    #[test]
    fn above_it_an_even_pace_loses_no_more_than_one_in_63() {
        for limit in [64, 100, 1_000, 60_000] {
            let mut window = SlidingWindow::new(Window::Minute);
            let arrivals = limit * 10;
            let passed = (0..arrivals)
                .filter(|turn| passes(&mut window, limit as u32, turn * MINUTE_MS / limit))
                .count() as u64;
            assert!(passed * 63 >= arrivals * 62, "{limit}/min: {passed} of {arrivals}");
        }
    }

    #[test]
    fn changing_a_limit_keeps_what_was_counted() {
        let mut window = SlidingWindow::new(Window::Minute);
        (0..5).for_each(|_| window.take(0));
        assert_eq!(window.state(max(5), 0).remaining, 0);
        assert_eq!(window.state(max(8), 0).remaining, 3);
        assert_eq!(window.state(max(2), 0).remaining, 0);
    }

    #[test]
    fn time_that_goes_back_frees_nothing_and_costs_nothing() {
        let mut window = SlidingWindow::new(Window::Second);
        window.take(10_000);
        window.take(9_990);
        assert_eq!(window.state(max(3), 9_000).remaining, 1);
        assert_eq!(window.state(max(3), 10_999).remaining, 1);
        assert_eq!(window.state(max(3), 11_000), Standing::whole("3/s".parse().unwrap()));
    }

    #[test]
    fn a_window_is_empty_after_any_rest_however_long() {
        for rest in [MINUTE_MS, 1 << 32, (1 << 32) + 1, 1 << 40] {
            let mut window = SlidingWindow::new(Window::Minute);
            window.take(77);
            assert_eq!(window.state(max(9), 77 + rest), Standing::whole("9/min".parse().unwrap()));
        }
    }

    #[test]
    fn memory_is_64_bytes_and_64_entries_at_most() {
        assert!(size_of::<SlidingWindow>() <= 64);
        for kind in Window::ALL {
            let mut window = SlidingWindow::new(kind);
            let step = (length_ms(kind) / 997).max(1);
            for turn in 0..5_000 {
                window.take(turn * step);
                assert!(window.runs.len() <= 64, "{kind:?}");
            }
            assert!(window.runs.capacity() <= 64, "{kind:?}");
        }
    }

    /// Milliseconds between arrivals: bursts, the borders of runs and of the window, rests.
    fn gaps() -> impl Strategy<Value = Vec<u64>> {
        let gap = prop_oneof![
            4 => Just(0),
            4 => 0u64..100,
            2 => 900u64..1_010,
            2 => 0u64..5_000,
            1 => 59_000u64..61_000,
        ];
        proptest::collection::vec(gap, 1..400)
    }

    proptest! {
        #[test]
        fn no_window_wherever_it_begins_has_more_passes_than_the_limit(
            limit in 1u32..90,
            start in prop_oneof![0u64..200_000, (1u64 << 32) - 90_000..(1 << 32)],
            gaps in gaps(),
        ) {
            let mut window = SlidingWindow::new(Window::Minute);
            let mut now_ms = start;
            let mut passed = Vec::new();
            for gap in gaps {
                now_ms += gap;
                if passes(&mut window, limit, now_ms) {
                    passed.push(now_ms);
                }
            }
            for (index, first) in passed.iter().enumerate() {
                let within = passed[index..].iter().take_while(|at| **at < first + MINUTE_MS).count();
                prop_assert!(within <= limit as usize, "{within} from {first}");
            }
        }

        #[test]
        fn retry_after_is_refused_before_and_passes_at_it(limit in 1u32..40, gaps in gaps()) {
            let mut window = SlidingWindow::new(Window::Minute);
            let mut now_ms = 0;
            for gap in gaps {
                now_ms += gap;
                let standing = window.state(max(limit), now_ms);
                prop_assert_eq!(standing.retry_after_ms == 0, standing.remaining > 0);
                if standing.remaining > 0 {
                    window.take(now_ms);
                } else {
                    let at = now_ms + standing.retry_after_ms;
                    prop_assert!(!passes(&mut window.clone(), limit, at - 1));
                    prop_assert!(passes(&mut window.clone(), limit, at));
                }
            }
        }

        #[test]
        fn reset_is_when_the_window_is_whole_again_and_not_before(limit in 1u32..40, gaps in gaps()) {
            let mut window = SlidingWindow::new(Window::Minute);
            let mut now_ms = 0;
            for gap in gaps {
                now_ms += gap;
                passes(&mut window, limit, now_ms);
                let reset = window.state(max(limit), now_ms).reset_in_ms;
                let remaining_at = |at| window.clone().state(max(limit), at).remaining;
                prop_assert!(reset > 0 && remaining_at(now_ms + reset - 1) < limit);
                prop_assert_eq!(remaining_at(now_ms + reset), limit);
            }
        }

        #[test]
        fn a_pass_is_forgotten_after_the_window_and_at_most_a_63rd_more(gaps in gaps()) {
            let mut window = SlidingWindow::new(Window::Minute);
            let mut now_ms = 0;
            let mut passed: Vec<u64> = Vec::new();
            for gap in gaps {
                now_ms += gap;
                let slack = MINUTE_MS.div_ceil(PARTS);
                let within = |length: u64| {
                    passed.iter().filter(|at| now_ms - **at < length).count() as u32
                };
                let counted = u32::MAX - window.state(NonZeroU32::MAX, now_ms).remaining;
                prop_assert!(counted >= within(MINUTE_MS));
                prop_assert!(counted <= within(MINUTE_MS + slack));
                window.take(now_ms);
                passed.push(now_ms);
            }
        }
    }
}
