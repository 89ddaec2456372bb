//! Filling purses and emptying them: the only part that asks the store for money.
//!
//! Requests that find too little wait for one grant a key, however many they are, and are paid from
//! it in the order in which they came. What a lease is measured by is what was spent lately; one that
//! lies idle flows back.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::purse::{Lease, Now, Purse, Reservation, Spent, Terms};
use crate::domain::money::LeaseSize;
use crate::domain::{JournalId, KeyId, LeaseId, OwnerId, Reason};
use crate::store::{Grant, LeaseAsk, Result, Store, StoreError};
use crate::telemetry::metrics::Metrics;

/// Requests that wait for money at most; past it they are told that too much is waiting.
const QUEUE: usize = 8_192;
/// The longest that a request waits for money.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often leases are looked at.
const TICK: Duration = Duration::from_millis(250);
/// One that was not spent from for so long is given back.
const IDLE_MS: u64 = 5_000;
/// The same where it is next to nothing of what is left, so that nobody is waiting for it.
const AMPLE_IDLE_MS: u64 = 60_000;
/// For how long a lease is to last at the pace at which it is spent.
const LASTS_MS: i64 = 2_000;
/// How many times as much it is to be where that is next to nothing of what is left.
const AMPLE: i64 = 300;
/// How many requests a lease is for at least, if there is enough.
const REQUESTS: i64 = 10;
/// What stands between the moment from which an instance does not trust its lease any more and the
/// one from which others may spend it.
const MARGIN: Duration = Duration::from_mins(1);
/// Renewals to the time that a lease is good for.
const RENEWALS: u32 = 8;

/// Where requests get their money.
pub struct Spender {
    asks: mpsc::Sender<Ask>,
}

/// What keeps purses filled; runs on the control plane.
pub struct Keeper {
    store: Arc<dyn Store>,
    holder: JournalId,
    instances: watch::Receiver<usize>,
    now: Arc<dyn Fn() -> Now + Send + Sync>,
    /// For how long a lease is spent from while the store is away.
    good_for: Duration,
    asks: mpsc::Receiver<Ask>,
    purses: HashMap<KeyId, Held>,
    metrics: Arc<Metrics>,
    /// Leases that are not spent from any more, until nothing can come back to them.
    retired: Vec<Arc<Lease>>,
    work: JoinSet<Done>,
}

/// A request that waits for money, or a lease that runs low.
struct Ask {
    purse: Arc<Purse>,
    cost: i64,
    stamp: u64,
    credits_of: Option<OwnerId>,
    answer: Option<oneshot::Sender<Result<Reservation, Reason>>>,
}

/// A purse that has, or is to have, a lease.
struct Held {
    purse: Arc<Purse>,
    waiting: Vec<Ask>,
    /// Whether the store is being asked.
    asking: bool,
    /// What had been used when it was asked last, and when that was.
    used: i64,
    asked_at_ms: u64,
    /// After how long without use its lease is given back.
    idle_ms: u64,
}

/// What came of a piece of work.
enum Done {
    Granted {
        key: KeyId,
        lease: Arc<Lease>,
        size: LeaseSize,
        outcome: Result<Grant>,
        good_until_ms: u64,
    },
    Renewed {
        outcome: Result<Vec<LeaseId>>,
        good_until_ms: u64,
    },
    GivenBack,
}

impl Spender {
    /// Sets money aside for a request; waits only where this instance does not hold enough.
    pub async fn reserve(
        &self,
        purse: &Arc<Purse>,
        cost: i64,
        terms: Terms<'_>,
        now: Now,
    ) -> Result<Reservation, Reason> {
        match purse.spend(cost, terms.stamp, now) {
            Spent::Paid(paid) => Ok(paid),
            Spent::PaidAndLow(paid) => {
                // Where the queue is full, the purse runs empty, and then somebody waits.
                let _ = self.asks.try_send(Ask::new(purse, cost, terms, None));
                Ok(paid)
            }
            Spent::Refused(reason) => Err(reason),
            Spent::Unknown => self.wait(purse, cost, terms).await,
        }
    }

    async fn wait(
        &self,
        purse: &Arc<Purse>,
        cost: i64,
        terms: Terms<'_>,
    ) -> Result<Reservation, Reason> {
        let (answer, answered) = oneshot::channel();
        let ask = Ask::new(purse, cost, terms, Some(answer));
        self.asks.try_send(ask).map_err(|_| Reason::Overloaded)?;
        match timeout(PATIENCE, answered).await {
            Ok(Ok(outcome)) => outcome,
            _ => Err(Reason::StoreUnavailable),
        }
    }
}

impl Ask {
    fn new(
        purse: &Arc<Purse>,
        cost: i64,
        terms: Terms<'_>,
        answer: Option<oneshot::Sender<Result<Reservation, Reason>>>,
    ) -> Self {
        let (stamp, credits_of) = (terms.stamp, terms.credits_of.cloned());
        Self { purse: Arc::clone(purse), cost, stamp, credits_of, answer }
    }

    /// Nobody may be waiting any more; money that is not taken goes back by itself.
    fn answer(self, outcome: Result<Reservation, Reason>) {
        if let Some(answer) = self.answer {
            drop(answer.send(outcome));
        }
    }
}

impl Keeper {
    /// Makes both halves. `holder` names this instance's leases, `instances` says how many share what
    /// is left, `good_for` how long a lease is spent from while the store is away.
    pub fn new(
        store: Arc<dyn Store>,
        holder: JournalId,
        instances: watch::Receiver<usize>,
        now: impl Fn() -> Now + Send + Sync + 'static,
        good_for: Duration,
        metrics: Arc<Metrics>,
    ) -> (Spender, Self) {
        let (asks, receiver) = mpsc::channel(QUEUE);
        let keeper = Self {
            store,
            holder,
            instances,
            now: Arc::new(now),
            good_for,
            asks: receiver,
            purses: HashMap::new(),
            metrics,
            retired: Vec::new(),
            work: JoinSet::new(),
        };
        (Spender { asks }, keeper)
    }

    /// Keeps for ever.
    pub async fn run(mut self) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renew = interval((self.good_for / RENEWALS).max(TICK));
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                _ = tick.tick() => self.look_at_leases(),
                _ = renew.tick() => self.renew(),
                Some(done) = self.work.join_next() => {
                    // A piece of work that panicked is one whose requests give up by themselves.
                    if let Ok(done) = done {
                        self.done(done);
                    }
                }
                ask = self.asks.recv() => match ask {
                    Some(ask) => self.take_in(ask),
                    None => return,
                },
            }
        }
    }

    fn take_in(&mut self, ask: Ask) {
        let now = (self.now)();
        let key = ask.purse.key.clone();
        let held = self.purses.entry(key.clone()).or_insert_with(|| Held::new(&ask.purse, now));
        // A key that was let go of and read again has another purse, and nothing in it.
        if !Arc::ptr_eq(&held.purse, &ask.purse) {
            self.retired.extend(held.purse.replace(None));
            held.purse = Arc::clone(&ask.purse);
        }
        held.waiting.push(ask);
        if !held.asking {
            self.serve(&key);
        }
    }

    /// Pays who waits from what is there, and asks for more where it is not enough.
    fn serve(&mut self, key: &KeyId) {
        let now = (self.now)();
        let Some(held) = self.purses.get_mut(key) else { return };
        held.pay(now);
        let Some(first) = held.waiting.first() else { return };
        let (stamp, credits_of) = (first.stamp, first.credits_of.clone());
        let lease = match &*held.purse.lease() {
            Some(lease) if lease.is_good(stamp, now) => Arc::clone(lease),
            _ => Arc::new(Lease::new(new_id(), stamp, now)),
        };
        let size = held.size(&lease, *self.instances.borrow(), now);
        held.asking = true;
        let before = held.purse.replace(Some(Arc::clone(&lease)));
        let before = before.filter(|before| !Arc::ptr_eq(before, &lease));
        self.retired.extend(before.clone());
        let ask = LeaseAsk {
            lease: lease.id,
            holder: self.holder.clone(),
            key: key.clone(),
            month: lease.month,
            credits_of,
            size,
            lasts: self.good_for + MARGIN,
        };
        let store = Arc::clone(&self.store);
        let good_until_ms = now.monotonic_ms + self.good_for.as_millis() as u64;
        self.work.spawn(async move {
            if let Some(before) = before {
                // What is left under other terms is a part of what is asked for now.
                return_to(&*store, &before).await;
            }
            let outcome = store.grant(&ask).await;
            Done::Granted { key: ask.key, lease, size, outcome, good_until_ms }
        });
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Granted { key, lease, size, outcome, good_until_ms } => {
                self.granted(&key, &lease, size, outcome, good_until_ms);
            }
            Done::Renewed { outcome: Ok(renewed), good_until_ms } => {
                for held in self.purses.values() {
                    if let Some(lease) = &*held.purse.lease()
                        && renewed.contains(&lease.id)
                    {
                        lease.renewed(good_until_ms);
                    }
                }
            }
            Done::Renewed { outcome: Err(error), .. } => {
                tracing::debug!(%error, "leases could not be renewed yet");
            }
            Done::GivenBack => {}
        }
    }

    fn granted(
        &mut self,
        key: &KeyId,
        lease: &Lease,
        size: LeaseSize,
        outcome: Result<Grant>,
        good_until_ms: u64,
    ) {
        let now = (self.now)();
        let count = match &outcome {
            Ok(Grant::Granted(_)) => &self.metrics.leases_granted,
            Ok(Grant::Short(_)) => &self.metrics.leases_short,
            Err(_) => &self.metrics.leases_failed,
        };
        count.increment();
        let Some(held) = self.purses.get_mut(key) else { return };
        held.asking = false;
        match outcome {
            Ok(Grant::Granted(amount)) => {
                lease.add(amount, good_until_ms);
                held.idle_ms = if amount > size.want { AMPLE_IDLE_MS } else { IDLE_MS };
                held.purse.filled();
                self.serve(key);
            }
            Ok(Grant::Short(reason)) => {
                held.pay(now);
                held.refuse(reason, size.unit, lease.stamp, now);
                if !held.waiting.is_empty() {
                    self.serve(key);
                }
            }
            Err(error) => {
                tell(&error);
                for ask in held.waiting.drain(..) {
                    ask.answer(Err(Reason::StoreUnavailable));
                }
            }
        }
    }

    /// Leases that nobody spends from are retired, what is in retired ones flows back, and purses that
    /// are empty are forgotten.
    fn look_at_leases(&mut self) {
        let now = (self.now)();
        let retired = &mut self.retired;
        self.purses.retain(|_, held| {
            if held.asking || !held.waiting.is_empty() {
                return true;
            }
            let lease = held.purse.lease().clone();
            let Some(lease) = lease else { return false };
            let idle = now.monotonic_ms.saturating_sub(lease.spent_at_ms()) >= held.idle_ms;
            let goes_on = lease.is_good(lease.stamp, now) && !idle;
            if !goes_on {
                retired.extend(held.purse.replace(None));
            }
            goes_on
        });
        let (store, work) = (&self.store, &mut self.work);
        retired.retain(|lease| {
            // A request under way, or a hand that gives it back, may still put something in.
            let may_change = Arc::strong_count(lease) > 1;
            if lease.left() > 0 {
                let (store, lease) = (Arc::clone(store), Arc::clone(lease));
                work.spawn(async move {
                    return_to(&*store, &lease).await;
                    Done::GivenBack
                });
                return true;
            }
            may_change
        });
    }

    fn renew(&mut self) {
        let (store, holder) = (Arc::clone(&self.store), self.holder.clone());
        let good_until_ms = (self.now)().monotonic_ms + self.good_for.as_millis() as u64;
        let lasts = self.good_for + MARGIN;
        self.work.spawn(async move {
            let outcome = store.renew_leases(&holder, lasts).await;
            if outcome.is_ok()
                && let Err(error) = store.release_expired_leases().await
            {
                tracing::debug!(%error, "leases of instances that are gone were not released yet");
            }
            Done::Renewed { outcome, good_until_ms }
        });
    }
}

impl Held {
    fn new(purse: &Arc<Purse>, now: Now) -> Self {
        let (purse, asked_at_ms) = (Arc::clone(purse), now.monotonic_ms);
        Self { purse, waiting: Vec::new(), asking: false, used: 0, asked_at_ms, idle_ms: IDLE_MS }
    }

    /// Pays in the order in which they came; who only said that the lease runs low waits for nothing.
    fn pay(&mut self, now: Now) {
        let purse = &self.purse;
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = waiting.into_iter();
        for ask in rest.by_ref() {
            if ask.answer.is_none() {
                self.waiting.push(ask);
                continue;
            }
            match purse.spend(ask.cost, ask.stamp, now) {
                Spent::Paid(paid) | Spent::PaidAndLow(paid) => ask.answer(Ok(paid)),
                Spent::Refused(_) | Spent::Unknown => {
                    self.waiting.push(ask);
                    break;
                }
            }
        }
        self.waiting.extend(rest);
        if let Some(lease) = &*self.purse.lease()
            && !lease.is_low()
        {
            self.waiting.retain(|ask| ask.answer.is_some());
        }
    }

    /// There is not enough for those that need as much or more; others may find what is left.
    fn refuse(&mut self, reason: Reason, least: i64, stamp: u64, now: Now) {
        let refused = |ask: &Ask| ask.stamp == stamp && (ask.answer.is_none() || ask.cost >= least);
        let (refused, rest): (Vec<_>, Vec<_>) = self.waiting.drain(..).partition(refused);
        self.waiting = rest;
        if refused.iter().any(|ask| ask.answer.is_some()) {
            self.purse.refuse(reason, least, stamp, now);
        }
        for ask in refused {
            ask.answer(Err(reason));
        }
    }

    /// For who waits, and for a while at the pace of late.
    fn size(&mut self, lease: &Lease, instances: usize, now: Now) -> LeaseSize {
        let first = self.waiting.first().map_or(1, |ask| ask.cost);
        let waiting: i64 = self.waiting.iter().map(|ask| ask.cost).sum();
        let elapsed_ms = now.monotonic_ms.saturating_sub(self.asked_at_ms).max(100);
        let used = lease.used();
        let lately = used.saturating_sub(self.used).max(0);
        let at_pace = i128::from(lately) * i128::from(LASTS_MS) / i128::from(elapsed_ms);
        (self.used, self.asked_at_ms) = (used, now.monotonic_ms);
        let at_pace = i64::try_from(at_pace).unwrap_or(i64::MAX);
        let some = first.max(lease.last_cost()).saturating_mul(REQUESTS);
        let want = waiting.saturating_add(at_pace.max(some));
        let ample = at_pace.max(some).saturating_mul(AMPLE);
        let missing = (first - lease.left().max(0)).max(1);
        LeaseSize { want, ample, least: missing, unit: first, instances }
    }
}

/// Gives back what nobody has set aside of a lease.
async fn return_to(store: &dyn Store, lease: &Lease) {
    let left = lease.empty();
    if left > 0
        && let Err(error) = store.give_back(lease.id, left).await
    {
        lease.restore(left);
        tell(&error);
    }
}

fn tell(error: &StoreError) {
    tracing::warn!(%error, "the store could not be asked about a budget");
}

/// Never 0, which is none.
fn new_id() -> LeaseId {
    loop {
        if let Some(id) = LeaseId::from_number(rand::rng().random()) {
            return id;
        }
    }
}
