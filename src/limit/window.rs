//! One sliding window: a log of what passed in it, no finer than it need be.
//!
//! A pass is written down with its millisecond; passes that come within a 63rd of the window
//! after the first of a run are one entry, which has the time of its last one. An entry leaves when
//! that time is a whole window ago, so what is counted is never less than what passed in the window
//! that ends now, and a limit is never exceeded. The price is lateness, never excess: a pass is
//! forgotten after the window and at most a 63rd more. A client that spaces its requests
//! evenly at a limit of up to sixty loses nothing by that, at a higher one at most one in 63.
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
    /// When the last of them was; the low half suffices, see [`age_ms`].
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
            reset_in_ms: if self.passed == 0 {
                0
            } else {
                self.leaves_in_ms(self.newest_ms, now_ms)
            },
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

    /// What is counted: how many milliseconds ago, and how many passed then; oldest first.
    pub fn passes(&mut self, now_ms: u64) -> impl Iterator<Item = (u64, u32)> {
        let now_ms = self.advance(now_ms);
        self.runs.iter().map(move |run| (age_ms(*run, now_ms), run.passes))
    }

    /// How many are counted.
    pub fn passed(&mut self, now_ms: u64) -> u64 {
        self.advance(now_ms);
        self.passed
    }

    /// Forgets so many of the oldest passes.
    pub fn forget(&mut self, count: u64) {
        let mut left = count.min(self.passed);
        self.passed -= left;
        while let Some(run) = self.runs.front_mut()
            && left > 0
        {
            let some = left.min(u64::from(run.passes));
            run.passes -= some as u32;
            left -= some;
            if run.passes == 0 {
                self.runs.pop_front();
            }
        }
    }

    /// Adds what was counted in a window of the same length from a later moment on.
    pub fn append(&mut self, later: Self) {
        if later.newest_ms >= self.newest_ms {
            self.newest_ms = later.newest_ms;
            self.joins_until_ms = later.joins_until_ms;
        }
        self.passed += later.passed;
        self.runs.extend(later.runs);
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
            && age_ms(*run, now_ms) >= length_ms
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
                return length_ms(self.window) - age_ms(*run, now_ms);
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
fn age_ms(run: Run, now_ms: u64) -> u64 {
    u64::from((now_ms as u32).wrapping_sub(run.last_ms))
}

fn length_ms(window: Window) -> u64 {
    u64::from(window.seconds()) * 1_000
}

#[cfg(test)]
mod tests;
