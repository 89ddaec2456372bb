//! What this instance holds of one subject's limits: batches that Redis has granted it, what passed
//! without one and is owed to Redis, and how the limits stood when Redis last answered.
//!
//! The one rule: what passes is booked in Redis once, before it passes or as soon after as Redis
//! answers; where it is not known whether a booking came through, it is booked again. So an answer
//! that is lost can make the limit tighter for one window, never wider. No clock and no IO here.

use std::collections::VecDeque;
use std::mem;
use std::num::NonZeroU32;

use super::draw::{Answer, Draw, Outcome, PATIENCE_MS, Subject, Wanted};
use super::view::{View, sum};
use crate::domain::Limit;
use crate::limit::window::{SlidingWindow, Standing};
use crate::limit::windows::Windows;

/// After how long Redis is asked again whether a limit is still reached, in milliseconds: others may
/// have given back what they held. Each time that it is, the pause doubles, up to the other.
const LOOK_AGAIN_MS: u64 = 100;
const LOOK_AGAIN_AT_MOST_MS: u64 = 1_000;
/// What a batch may grow to; past it a call of Redis for each is nothing any more.
const MOST: u32 = 1 << 20;

/// Of one subject.
#[derive(Debug)]
pub(super) struct Allowance {
    /// The limits as they were last asked with.
    limits: Vec<Limit>,
    /// Grows when they change.
    turn: u32,
    /// One a length.
    views: Vec<View>,
    /// What may pass, the oldest grant first.
    batches: VecDeque<Batch>,
    /// What was granted and not used: when, by Redis's clock, and how much.
    returns: Vec<(u64, u32)>,
    reached: Option<Reached>,
    /// What the next batch may be: it doubles while batches are used up.
    most: u32,
    /// Redis's clock less ours.
    clock: Option<i64>,
    asked: bool,
    ahead: bool,
    /// Requests that wait for an answer.
    waiting: u32,
    /// What a draw that is under way is to book, and to give back.
    booking: u64,
    returning: u64,
    /// Whether somebody will look after what is left over.
    pub(super) is_watched: bool,
}

#[derive(Debug)]
struct Batch {
    left: u32,
    of: u32,
    /// By Redis's clock.
    granted_at_ms: u64,
    until_ms: u64,
    /// Whether the next one was asked for already.
    followed: bool,
}

/// A limit that is reached for all instances.
#[derive(Clone, Copy, Debug)]
struct Reached {
    limit: Limit,
    one_passes_at_ms: u64,
    whole_at_ms: u64,
    look_at_ms: u64,
    pause_ms: u64,
}

/// How one subject of a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// A batch is there.
    Granted,
    /// Redis is to be asked.
    Lacking,
    /// Redis has said no.
    Reached(Standing),
}

/// What is to be done after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct After {
    /// When to look at what is left over, if anything is.
    pub(super) look_at_ms: Option<u64>,
    /// Whether Redis has lost what it knew of this instance.
    pub(super) lost: bool,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            limits: Vec::new(),
            turn: 0,
            views: Vec::new(),
            batches: VecDeque::new(),
            returns: Vec::new(),
            reached: None,
            most: 1,
            clock: None,
            asked: false,
            ahead: false,
            waiting: 0,
            booking: 0,
            returning: 0,
            is_watched: false,
        }
    }
}

impl Allowance {
    /// Goes on with these limits. Where they are others than before, what was granted for those is
    /// let go of; what passed stays counted.
    pub(super) fn adopt(&mut self, limits: &[Limit]) {
        if self.limits == limits {
            return;
        }
        let mut before = mem::take(&mut self.views);
        for limit in limits {
            if let Some(view) = self.views.iter_mut().find(|v| v.limit.window == limit.window) {
                view.limit.max = view.limit.max.min(limit.max);
                continue;
            }
            let known = before.iter().position(|view| view.limit.window == limit.window);
            let mut view = known.map_or_else(|| View::new(*limit), |at| before.swap_remove(at));
            view.limit = *limit;
            view.left = limit.max.get();
            self.views.push(view);
        }
        self.limits = limits.to_vec();
        self.turn = self.turn.wrapping_add(1);
        self.let_go();
    }

    /// How it stands now. What was granted and is past its time is given up.
    pub(super) fn stand(&mut self, now_ms: u64) -> Stand {
        self.retire(now_ms);
        match self.reached {
            _ if !self.batches.is_empty() => Stand::Granted,
            Some(reached) if now_ms < reached.one_passes_at_ms => {
                Stand::Reached(reached.standing(now_ms))
            }
            _ => Stand::Lacking,
        }
    }

    /// Whether it is time to ask whether the limit is still reached; the next time is later.
    pub(super) fn looks_again(&mut self, now_ms: u64) -> bool {
        match &mut self.reached {
            Some(reached) if reached.look_at_ms <= now_ms => {
                reached.look_at_ms = now_ms + reached.pause_ms;
                true
            }
            _ => false,
        }
    }

    /// Notes that Redis is to be asked; false: that is under way already.
    pub(super) fn ask(&mut self) -> bool {
        !mem::replace(&mut self.asked, true)
    }

    /// A request begins to wait for an answer.
    pub(super) fn wait(&mut self) {
        self.waiting += 1;
    }

    /// A request waits no longer.
    pub(super) fn wait_no_more(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Lets one pass that was granted. True: the batch is half used, and Redis is to be asked for the
    /// next.
    pub(super) fn take(&mut self) -> bool {
        let only = self.batches.len() == 1;
        let batch = self.batches.front_mut().expect("how it stands was asked before");
        batch.left -= 1;
        let wants_more = only && batch.left <= batch.of / 2 && !batch.followed;
        batch.followed |= wants_more;
        if batch.left == 0 {
            self.most = self.most.saturating_mul(2).min(MOST);
            self.batches.pop_front();
            // Who comes next asks for itself, and is served first.
            return false;
        }
        self.ahead |= wants_more;
        wants_more
    }

    /// Lets one pass without a grant.
    pub(super) fn owe(&mut self, now_ms: u64) {
        self.views.iter_mut().for_each(|view| view.owed.take(now_ms));
    }

    /// Whether one more may pass while Redis, which is in reach, is late; else the limit that is in the
    /// way.
    pub(super) fn may_owe(&mut self, live: u32, now_ms: u64) -> Result<(), Standing> {
        let (booking, is_alone) = (self.booking, self.waiting == 0);
        self.views.iter_mut().try_for_each(|view| view.may_owe(booking, is_alone, live, now_ms))
    }

    /// How each limit stands, as far as is known.
    pub(super) fn standings(&mut self, now_ms: u64) -> impl Iterator<Item = Standing> {
        let held: u64 = self.batches.iter().map(|batch| u64::from(batch.left)).sum();
        let unused = held + sum(&self.returns) + self.returning;
        let booking = self.booking;
        self.views.iter_mut().map(move |view| view.standing(unused, booking, now_ms))
    }

    /// What to ask Redis now. `counted` is all that this instance has counted.
    pub(super) fn draw(&mut self, subject: Subject, counted: &mut Windows, now_ms: u64) -> Draw {
        self.retire(now_ms);
        let wanted = match (self.waiting, mem::take(&mut self.ahead)) {
            (0, false) => Wanted::Nothing,
            (0, true) => Wanted::Ahead,
            (waiting, _) => Wanted::For(waiting),
        };
        (self.booking, self.returning) = (self.owed(now_ms), sum(&self.returns));
        let windows = self.views.iter_mut().map(|view| {
            let owed = mem::replace(&mut view.owed, SlidingWindow::new(view.limit.window));
            view.drawn(owed, counted.find(subject.route(), view.limit), now_ms)
        });
        Draw {
            subject,
            turn: self.turn,
            sent_ms: now_ms,
            not_after_ms: self.clock.and_then(|clock| {
                now_ms.checked_add_signed(clock).map(|redis_ms| redis_ms + PATIENCE_MS)
            }),
            wanted,
            most: self.most,
            windows: windows.collect(),
            returns: mem::take(&mut self.returns),
        }
    }

    /// Takes up the answer to a draw.
    pub(super) fn answered(&mut self, draw: Draw, answer: &Answer, now_ms: u64) -> After {
        self.ended();
        self.clock = Some(answer.now_ms.cast_signed() - draw.sent_ms.cast_signed());
        let mut lost = false;
        match &answer.outcome {
            Outcome::Stale => self.owe_again(draw),
            Outcome::Unknown(windows) => {
                lost = true;
                if draw.turn == self.turn {
                    self.let_go();
                    self.views.iter_mut().zip(windows).for_each(|(v, lost)| v.known &= !lost);
                }
                self.owe_again(draw);
            }
            // Of limits that are no longer in force, what was granted is let go of.
            Outcome::Done { .. } if draw.turn != self.turn => {}
            Outcome::Done { granted, valid_ms, reached, windows } => {
                let answered = windows.iter().zip(&draw.windows);
                for (view, ((left, whole_in_ms), drawn)) in self.views.iter_mut().zip(answered) {
                    view.learn_pace(drawn, &draw.returns, *granted, *left, now_ms);
                    view.known = true;
                    view.left = *left;
                    view.whole_at_ms = now_ms + whole_in_ms;
                }
                self.reached = reached.and_then(|(place, ms)| self.reached_at(place, ms, now_ms));
                let left = self.settle(*granted, now_ms);
                if left > 0 {
                    self.batches.push_back(Batch {
                        left,
                        of: left,
                        granted_at_ms: answer.now_ms,
                        until_ms: draw.sent_ms + valid_ms,
                        // What is there for those who wait tells nothing of those who come.
                        followed: *valid_ms <= draw.slack_ms(),
                    });
                }
            }
        }
        After { look_at_ms: self.look_at_ms(now_ms), lost }
    }

    /// There was no answer to a draw, and none is to be expected. What it was to give back stays
    /// counted: it may have been taken.
    pub(super) fn failed(&mut self, draw: Option<Draw>) {
        self.ended();
        if let Some(draw) = draw {
            self.owe_again(draw);
        }
    }

    /// Redis has lost what it knew, of all keys.
    pub(super) fn lost(&mut self) {
        self.let_go();
        self.views.iter_mut().for_each(|view| view.known = false);
    }

    /// Others have booked since what they counted while Redis was away: of what was left, no more is
    /// relied on than this instance's own share.
    pub(super) fn doubt(
        &mut self,
        subject: Subject,
        counted: &mut Windows,
        live: u32,
        now_ms: u64,
    ) {
        for view in &mut self.views {
            let standing = counted.state(subject.route(), share(view.limit, live), now_ms);
            view.left = view.left.min(standing.remaining);
        }
    }

    /// When somebody is to look after what is left over: now, if anything is to be booked or given
    /// back.
    pub(super) fn look_at_ms(&mut self, now_ms: u64) -> Option<u64> {
        self.retire(now_ms);
        if self.owed(now_ms) > 0 || !self.returns.is_empty() {
            return Some(now_ms);
        }
        self.batches.back().map(|batch| batch.until_ms)
    }

    /// All that is unused is to be given back.
    pub(super) fn give_up(&mut self) {
        self.retire(u64::MAX);
    }

    /// Whether this instance has counted anything in one of the windows.
    pub(super) fn has_counted(&self, counted: &mut Windows, subject: Subject, now_ms: u64) -> bool {
        self.views.iter().any(|view| {
            let window = counted.find(subject.route(), view.limit);
            window.is_some_and(|window| !window.is_empty(now_ms))
        })
    }

    /// Whether nothing would be forgotten with it.
    pub(super) fn is_idle(&mut self, now_ms: u64) -> bool {
        let in_use = self.asked || self.waiting > 0 || self.is_watched;
        !in_use
            && self.look_at_ms(now_ms).is_none()
            && self.views.iter().all(|view| view.whole_at_ms <= now_ms)
    }

    /// What is past its time is to be given back.
    fn retire(&mut self, now_ms: u64) {
        while let Some(batch) = self.batches.pop_front_if(|batch| batch.until_ms <= now_ms) {
            self.most = (batch.of - batch.left).max(1);
            self.returns.push((batch.granted_at_ms, batch.left));
        }
    }

    /// No draw is under way any more.
    fn ended(&mut self) {
        (self.asked, self.booking, self.returning) = (false, 0, 0);
    }

    /// What has passed and is to be booked.
    fn owed(&mut self, now_ms: u64) -> u64 {
        self.views.iter_mut().map(|view| view.owed.passed(now_ms)).max().unwrap_or(0)
    }

    /// A grant pays for what passed without one while it was on its way; gives what is left of it.
    fn settle(&mut self, granted: u32, now_ms: u64) -> u32 {
        let paid = self.owed(now_ms).min(granted.into());
        self.views.iter_mut().for_each(|view| view.owed.forget(paid));
        granted - paid as u32
    }

    fn reached_at(&self, place: usize, one_passes_in_ms: u64, now_ms: u64) -> Option<Reached> {
        let view = self.views.get(place)?;
        let pause_ms = self.reached.map_or(LOOK_AGAIN_MS, |before| 2 * before.pause_ms);
        let pause_ms = pause_ms.min(LOOK_AGAIN_AT_MOST_MS);
        Some(Reached {
            limit: view.limit,
            one_passes_at_ms: now_ms + one_passes_in_ms,
            whole_at_ms: view.whole_at_ms,
            look_at_ms: now_ms + pause_ms,
            pause_ms,
        })
    }

    /// What a draw was to book is owed as before.
    fn owe_again(&mut self, draw: Draw) {
        for drawn in draw.windows {
            let window = drawn.limit.window;
            if let Some(view) = self.views.iter_mut().find(|view| view.limit.window == window) {
                let since = mem::replace(&mut view.owed, drawn.owed);
                view.owed.append(since);
            }
        }
    }

    /// What Redis granted and said counts no more.
    fn let_go(&mut self) {
        self.batches.clear();
        self.returns.clear();
        self.reached = None;
    }
}

impl Reached {
    fn standing(&self, now_ms: u64) -> Standing {
        Standing {
            limit: self.limit,
            remaining: 0,
            retry_after_ms: self.one_passes_at_ms.saturating_sub(now_ms).max(1),
            reset_in_ms: self.whole_at_ms.saturating_sub(now_ms),
        }
    }
}

/// This instance's part of a limit: what passes in it while Redis is away.
pub(super) fn share(limit: Limit, live: u32) -> Limit {
    let max = NonZeroU32::new(limit.max.get() / live).unwrap_or(NonZeroU32::MIN);
    Limit { max, ..limit }
}
