//! A key's money on this instance: a lease that requests spend from, each in a few nanoseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use arc_swap::{ArcSwapOption, Guard};

use crate::domain::money::covers;
use crate::domain::{KeyId, LeaseId, Millionths, Month, OwnerId, Reason};

/// What a key's requests are paid by: which budgets bind it, and whose credits. A lease was taken
/// under some terms; under others it is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// Changes with any budget that binds the key and with the credits of its owner.
    pub stamp: u64,
    /// The owner whose credits are spent, where they are.
    pub credits_of: Option<&'a OwnerId>,
}

/// Terms as a number: other budgets or other credits are another number.
#[derive(Clone, Copy, Debug)]
pub struct TermsStamp {
    stamp: u64,
    binds: bool,
}

impl TermsStamp {
    /// Of an owner whose credits were changed so often; 0: it has none.
    pub fn of_credits(changes: i64) -> Self {
        Self { stamp: changes.unsigned_abs(), binds: changes > 0 }
    }

    /// The budget of a key or of an ancestor binds it too, if there is one.
    pub fn bind(&mut self, budget: Option<Millionths>) {
        let budget = budget.map(Millionths::get);
        self.binds |= budget.is_some();
        // An odd multiplier keeps different numbers different (Knuth, The Art of Computer Programming, 6.4).
        let mixed = self.stamp.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23);
        self.stamp = mixed ^ budget.map_or(u64::MAX, i64::unsigned_abs);
    }

    /// The number; `None` where nothing binds.
    pub fn stamp(self) -> Option<u64> {
        self.binds.then_some(self.stamp)
    }
}

/// A key's money on this instance.
#[derive(Debug)]
pub struct Purse {
    /// Whose.
    pub key: KeyId,
    lease: ArcSwapOption<Lease>,
    refused: ArcSwapOption<Refused>,
}

/// A part of a budget that this instance holds. All amounts are millionths.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) id: LeaseId,
    pub(super) month: Month,
    pub(super) stamp: u64,
    month_ends_ms: i64,
    left: AtomicI64,
    /// All that was ever granted to it.
    granted: AtomicI64,
    /// What requests have cost beyond what was left in it.
    beyond: AtomicI64,
    /// What the last request has cost.
    last_cost: AtomicI64,
    /// By the monotonic clock: until then it is surely still on the books.
    good_until_ms: AtomicU64,
    /// By the same, to the tick of who looks: when it was last spent from.
    spent_at_ms: AtomicU64,
    /// Below what is left more is asked for.
    low: AtomicI64,
    /// Whether that was done.
    asked: AtomicBool,
}

/// That there was not enough: believed for a moment, so that a spent key asks the store now and then
/// and not with each request.
#[derive(Debug)]
struct Refused {
    reason: Reason,
    stamp: u64,
    month: Month,
    least: i64,
    until_ms: u64,
    waited_ms: u64,
}

/// The longest that a refusal is believed. Changes of the budget and of the credits end it at once.
const BELIEVED_MS: u64 = 1_000;
/// The shortest.
const BELIEVED_AT_FIRST_MS: u64 = 50;

/// When, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Milliseconds since the Unix epoch.
    pub wall_ms: i64,
    /// Milliseconds of a monotonic clock.
    pub monotonic_ms: u64,
}

/// What a purse says to a request.
pub(super) enum Spent {
    /// It is paid.
    Paid(Reservation),
    /// The same, and it is time to ask for more.
    PaidAndLow(Reservation),
    /// There was not enough a moment ago.
    Refused(Reason),
    /// Nobody knows: ask.
    Unknown,
}

/// Money that is set aside for one request. Dropped, it goes back: a request that no upstream has
/// answered costs nothing.
#[derive(Debug)]
pub struct Reservation {
    lease: Arc<Lease>,
    amount: i64,
}

impl Purse {
    /// An empty one.
    pub fn new(key: KeyId) -> Self {
        Self { key, lease: ArcSwapOption::empty(), refused: ArcSwapOption::empty() }
    }

    /// Sets money aside, if there is enough.
    pub(super) fn spend(&self, cost: i64, stamp: u64, now: Now) -> Spent {
        if let Some(lease) = &*self.lease.load()
            && lease.is_good(stamp, now)
            && lease.take(cost)
        {
            lease.spent_at_ms.store(now.monotonic_ms, Ordering::Relaxed);
            let paid = Reservation { lease: Arc::clone(lease), amount: cost };
            return if lease.asks_for_more() { Spent::PaidAndLow(paid) } else { Spent::Paid(paid) };
        }
        match &*self.refused.load() {
            Some(refused) if refused.holds(cost, stamp, now) => Spent::Refused(refused.reason),
            _ => Spent::Unknown,
        }
    }

    /// What is left in it, in millionths: nobody has set it aside.
    pub fn held(&self) -> i64 {
        self.lease.load().as_ref().map_or(0, |lease| lease.left())
    }

    /// The lease that is spent from.
    pub(super) fn lease(&self) -> Guard<Option<Arc<Lease>>> {
        self.lease.load()
    }

    /// Spends from another one from here on; gives the one before.
    pub(super) fn replace(&self, lease: Option<Arc<Lease>>) -> Option<Arc<Lease>> {
        self.lease.swap(lease)
    }

    /// There was enough, after all.
    pub(super) fn filled(&self) {
        self.refused.store(None);
    }

    /// There was not enough.
    pub(super) fn refuse(&self, reason: Reason, least: i64, stamp: u64, now: Now) {
        let before = self.refused.load();
        let again = before.as_ref().filter(|before| before.stamp == stamp);
        let waited_ms =
            again.map_or(BELIEVED_AT_FIRST_MS, |it| (it.waited_ms * 2).min(BELIEVED_MS));
        self.refused.store(Some(Arc::new(Refused {
            reason,
            stamp,
            month: Month::of_ms(now.wall_ms),
            least,
            until_ms: now.monotonic_ms + waited_ms,
            waited_ms,
        })));
    }
}

impl Refused {
    fn holds(&self, cost: i64, stamp: u64, now: Now) -> bool {
        self.stamp == stamp
            && cost >= self.least
            && now.monotonic_ms < self.until_ms
            && now.wall_ms < self.month.ends().as_millisecond()
    }
}

impl Lease {
    /// With nothing in it yet.
    pub(super) fn new(id: LeaseId, stamp: u64, now: Now) -> Self {
        let month = Month::of_ms(now.wall_ms);
        Self {
            id,
            month,
            stamp,
            month_ends_ms: month.ends().as_millisecond(),
            left: AtomicI64::new(0),
            granted: AtomicI64::new(0),
            beyond: AtomicI64::new(0),
            last_cost: AtomicI64::new(0),
            good_until_ms: AtomicU64::new(0),
            spent_at_ms: AtomicU64::new(now.monotonic_ms),
            low: AtomicI64::new(0),
            asked: AtomicBool::new(false),
        }
    }

    /// Whether it can be spent from now by a key under these terms.
    pub(super) fn is_good(&self, stamp: u64, now: Now) -> bool {
        self.stamp == stamp
            && now.wall_ms < self.month_ends_ms
            && now.monotonic_ms < self.good_until_ms.load(Ordering::Acquire)
    }

    /// Adds what was granted, which stays on the books until then at least.
    pub(super) fn add(&self, amount: i64, good_until_ms: u64) {
        self.renewed(good_until_ms);
        self.granted.fetch_add(amount, Ordering::Relaxed);
        let left = self.left.fetch_add(amount, Ordering::AcqRel) + amount;
        self.low.store(left / 4, Ordering::Relaxed);
        self.asked.store(false, Ordering::Release);
    }

    /// It stays on the books until then at least.
    pub(super) fn renewed(&self, good_until_ms: u64) {
        self.good_until_ms.fetch_max(good_until_ms, Ordering::AcqRel);
    }

    /// Takes out what nobody has set aside, to be given back.
    pub(super) fn empty(&self) -> i64 {
        let left = self.left.swap(0, Ordering::AcqRel);
        self.granted.fetch_sub(left, Ordering::Relaxed);
        left
    }

    /// It could not be given back: it is still this lease's.
    pub(super) fn restore(&self, amount: i64) {
        self.granted.fetch_add(amount, Ordering::Relaxed);
        self.left.fetch_add(amount, Ordering::AcqRel);
    }

    /// What is left in it.
    pub(super) fn left(&self) -> i64 {
        self.left.load(Ordering::Acquire)
    }

    /// All that was ever spent by it, also beyond what was in it.
    pub(super) fn used(&self) -> i64 {
        self.granted.load(Ordering::Relaxed) - self.left() + self.beyond.load(Ordering::Relaxed)
    }

    /// What the last request has cost, as far as that was told.
    pub(super) fn last_cost(&self) -> i64 {
        self.last_cost.load(Ordering::Relaxed)
    }

    /// Whether it is time for more.
    pub(super) fn is_low(&self) -> bool {
        self.left() < self.low.load(Ordering::Relaxed)
    }

    /// When it was last spent from.
    pub(super) fn spent_at_ms(&self) -> u64 {
        self.spent_at_ms.load(Ordering::Relaxed)
    }

    fn take(&self, cost: i64) -> bool {
        let left = |left: i64| covers(left, cost).then_some(left - cost);
        self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, left).is_ok()
    }

    fn asks_for_more(&self) -> bool {
        self.is_low() && !self.asked.swap(true, Ordering::AcqRel)
    }
}

impl Reservation {
    /// The request is answered and has cost this much: the lease, and which part of the cost was paid
    /// by it. What was set aside beyond the cost goes back; what is missing is taken of what is left.
    pub fn settle(mut self, cost: i64) -> (LeaseId, i64) {
        let set_aside = std::mem::take(&mut self.amount);
        let missing = cost - set_aside;
        let more = if missing > 0 { self.take_at_most(missing) } else { 0 };
        if missing < 0 {
            self.lease.left.fetch_sub(missing, Ordering::AcqRel);
        }
        let paid = cost.min(set_aside + more);
        self.lease.last_cost.store(cost, Ordering::Relaxed);
        if cost > paid {
            self.lease.beyond.fetch_add(cost - paid, Ordering::Relaxed);
        }
        (self.lease.id, paid)
    }

    fn take_at_most(&self, amount: i64) -> i64 {
        let rest = |left: i64| (left > 0).then_some(left - left.min(amount));
        let before = self.lease.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, rest);
        before.map_or(0, |left| left.min(amount))
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.amount != 0 {
            self.lease.left.fetch_add(self.amount, Ordering::AcqRel);
        }
    }
}
