//! One window as an instance sees it: what it owes to Redis, what Redis last said, and what may have
//! become of that since.

use super::draw::{Drawn, length_ms};
use crate::domain::Limit;
use crate::limit::window::{SlidingWindow, Standing};

/// Of its share of what was left, one in so many may pass while Redis is late.
const LATE_PART: u32 = 4;
/// No pace is learnt from less, in milliseconds: answers come in bunches.
const PACE_MS: u64 = 10;
/// For how long others are taken to go at this instance's own pace, in milliseconds: those who come
/// every second are no crowd.
const CROWD_MS: u64 = 50;
/// What a request is told that was refused because Redis did not answer in time, in milliseconds.
const TRY_AGAIN_MS: u64 = 1_000;

/// One window as this instance sees it.
#[derive(Debug)]
pub(super) struct View {
    pub(super) limit: Limit,
    /// Whether Redis has all that this instance counted.
    pub(super) known: bool,
    /// What passed and Redis has not been told of.
    pub(super) owed: SlidingWindow,
    /// What was left for all, beyond what is granted, at the last answer.
    pub(super) left: u32,
    /// When the window is whole again.
    pub(super) whole_at_ms: u64,
    /// When Redis last answered; 0: never.
    answered_at_ms: u64,
    /// How many passes a millisecond this instance and the others had of late.
    pace: Pace,
}

#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    own: f64,
    others: f64,
}

impl View {
    /// Of which Redis knows nothing.
    pub(super) fn new(limit: Limit) -> Self {
        Self {
            limit,
            known: false,
            owed: SlidingWindow::new(limit.window),
            left: limit.max.get(),
            whole_at_ms: 0,
            answered_at_ms: 0,
            pace: Pace::default(),
        }
    }

    /// Learns from an answer how fast what is left is used: what is gone and was not ours, the others
    /// have used.
    pub(super) fn learn_pace(
        &mut self,
        drawn: &Drawn,
        returns: &[(u64, u32)],
        granted: u32,
        left: u32,
        now_ms: u64,
    ) {
        let since_ms = now_ms.saturating_sub(self.answered_at_ms).max(PACE_MS) as f64;
        if self.answered_at_ms > 0 && !drawn.fresh {
            let own = sum(&drawn.books) + u64::from(granted);
            let before = u64::from(self.left) + sum(returns);
            let others = before.saturating_sub(u64::from(left) + own);
            // The latest answer counts as much as all before it.
            self.pace.own = f64::midpoint(self.pace.own, own as f64 / since_ms);
            self.pace.others = f64::midpoint(self.pace.others, others as f64 / since_ms);
        }
        self.answered_at_ms = now_ms;
    }

    /// What the others may have used since the last answer: at twice their pace; and, for they may
    /// have come to a crowd that is here already, for a moment at ours, each of them.
    fn used_since(&self, live: u32, now_ms: u64) -> u32 {
        let since_ms = now_ms.saturating_sub(self.answered_at_ms);
        let as_before = 2.0 * self.pace.others * since_ms as f64;
        let as_here = self.pace.own * f64::from(live - 1) * since_ms.min(CROWD_MS) as f64;
        #[expect(clippy::cast_sign_loss, reason = "neither is negative")]
        let used = (as_before + as_here).round() as u32;
        used
    }

    /// Where Redis has nothing of this instance, because it is new, has rested or Redis has lost it,
    /// it is told everything.
    pub(super) fn drawn(
        &self,
        mut owed: SlidingWindow,
        counted: Option<&mut SlidingWindow>,
        now_ms: u64,
    ) -> Drawn {
        let mut everything: Vec<(u64, u32)> =
            counted.map(|window| window.passes(now_ms).collect()).unwrap_or_default();
        let fresh = !self.known || everything.is_empty();
        if !fresh {
            everything = owed.passes(now_ms).collect();
        }
        Drawn { limit: self.limit, fresh, books: everything, owed }
    }

    /// Whether one more may pass while Redis is late: of what is left, less what the others are likely
    /// to have used since the last answer, a part of a part; and one at least. `booking` are under way.
    pub(super) fn may_owe(&mut self, booking: u64, live: u32, now_ms: u64) -> Result<(), Standing> {
        let left = self.left.saturating_sub(self.used_since(live, now_ms));
        let part = (left / LATE_PART / live).max(left.min(1));
        if self.owed.passed(now_ms) + booking < u64::from(part) {
            return Ok(());
        }
        Err(Standing {
            limit: self.limit,
            remaining: 0,
            retry_after_ms: TRY_AGAIN_MS,
            reset_in_ms: self.whole_in_ms(now_ms),
        })
    }

    /// How the limit stands, as far as is known, once one more has passed. `unused` is held or on its
    /// way back, `booking` under way.
    pub(super) fn standing(&mut self, unused: u64, booking: u64, now_ms: u64) -> Standing {
        let owed = self.owed.passed(now_ms) + booking;
        let left = (u64::from(self.left) + unused).saturating_sub(owed);
        Standing {
            limit: self.limit,
            remaining: u32::try_from(left).unwrap_or(u32::MAX).min(self.limit.max.get()),
            retry_after_ms: 0,
            reset_in_ms: self.whole_in_ms(now_ms).max(length_ms(self.limit.window)),
        }
    }

    fn whole_in_ms(&self, now_ms: u64) -> u64 {
        self.whole_at_ms.saturating_sub(now_ms)
    }
}

/// How much, without when.
pub(super) fn sum(pairs: &[(u64, u32)]) -> u64 {
    pairs.iter().map(|(_, count)| u64::from(*count)).sum()
}
