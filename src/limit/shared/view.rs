//! One window as an instance sees it: what it owes to Redis, what Redis last said, and what may have
//! become of that since.

use super::draw::{Drawn, PATIENCE_MS, length_ms};
use crate::domain::Limit;
use crate::limit::window::{SlidingWindow, Standing};

/// Of its share of what was left, one in so many may pass while Redis is late.
const LATE_PART: u32 = 4;
/// No pace is learnt from less, in milliseconds: answers come in bunches.
const PACE_MS: u64 = 1;
/// For how long others are taken to go at this instance's own pace, in milliseconds: those who come
/// every second are no crowd.
const CROWD_MS: u64 = 50;
/// How long it takes, where Redis is late, until what has passed is booked, in milliseconds.
const BOOKED_MS: u64 = 20;
const MILLION: u64 = 1_000_000;
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
    /// `None`: it takes two answers to tell.
    pace: Option<Pace>,
}

/// How many passes there were of late, in millionths of one a millisecond.
#[derive(Clone, Copy, Debug)]
struct Pace {
    /// Of this instance.
    own: u64,
    /// Of all others together.
    others: u64,
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
            pace: None,
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
        let since_ms = now_ms.saturating_sub(self.answered_at_ms).max(PACE_MS);
        if self.answered_at_ms > 0 && !drawn.fresh {
            let own = sum(&drawn.books) + u64::from(granted);
            let before = u64::from(self.left) + sum(returns);
            let others = before.saturating_sub(u64::from(left) + own);
            // The latest answer counts as much as all before it.
            let [own, others] = [own, others].map(|passes| passes * MILLION / since_ms);
            let before = self.pace.unwrap_or(Pace { own, others });
            self.pace = Some(Pace {
                own: u64::midpoint(before.own, own),
                others: u64::midpoint(before.others, others),
            });
        }
        self.answered_at_ms = now_ms;
    }

    /// What the others may have used from the last answer until what passes now is booked: at twice
    /// their pace; and, for they may have come to a crowd that is here already, for a moment at ours,
    /// each of them.
    fn used_until_booked(&self, live: u32, now_ms: u64) -> u32 {
        let Some(pace) = self.pace else { return 0 };
        let since_ms = now_ms.saturating_sub(self.answered_at_ms);
        let as_before = (2 * pace.others).saturating_mul(since_ms + BOOKED_MS);
        let here_ms = u64::from(live - 1) * (since_ms.min(CROWD_MS) + BOOKED_MS);
        let as_here = pace.own.saturating_mul(here_ms);
        let used = as_before.saturating_add(as_here).saturating_add(MILLION / 2) / MILLION;
        u32::try_from(used).unwrap_or(u32::MAX)
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

    /// Whether one more may pass while Redis is late, besides those that are under way to be booked.
    /// Where what is left would last for longer than Redis is waited for, at the pace that all have
    /// had, a part of this instance's share of it may. Else, or where no pace is known, only one that
    /// is alone: of a small limit, what others may have used up meanwhile is soon more than a
    /// hundredth.
    pub(super) fn may_owe(
        &mut self,
        booking: u64,
        is_alone: bool,
        live: u32,
        now_ms: u64,
    ) -> Result<(), Standing> {
        let left = self.left.saturating_sub(self.used_until_booked(live, now_ms));
        let lasts = self.pace.is_some_and(|pace| {
            let all = (2 * pace.others).saturating_add(pace.own.saturating_mul(live.into()));
            all.saturating_mul(PATIENCE_MS) / MILLION < u64::from(left)
        });
        let one = left.min(is_alone.into());
        let part = if lasts { (left / LATE_PART / live).max(one) } else { one };
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
