//! When which request is sent.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::load::{Clients, Plan, Shot, Target};
use super::outcome::Outcome;
use super::site::PATH;
use crate::support::MintedKey;
use crate::support::load::get;

/// Requests as they go over the wire, by the place of their key.
pub type Requests = Vec<Rc<[u8]>>;

/// Each key's request.
pub fn requests(keys: &[MintedKey]) -> Requests {
    keys.iter().map(|key| get(PATH, key.secret()).into()).collect()
}

/// The same sequence in every run.
pub fn random() -> StdRng {
    StdRng::seed_from_u64(42)
}

/// Uses each key once, so that the gateway knows it.
pub fn warm_up(clients: &mut Clients, target: Target, requests: &Requests) -> Result<()> {
    let each = || Each { left: requests.clone(), now: Instant::now() };
    let outcomes = clients.run(&[Target { connections: 8, ..target }], each)?;
    let statuses = statuses(&outcomes);
    ensure!(statuses.keys().eq([&200]), "the warm-up was answered with {statuses:?}");
    Ok(())
}

/// How many outcomes had which status.
pub fn statuses<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> BTreeMap<u16, usize> {
    let mut statuses = BTreeMap::new();
    for outcome in outcomes {
        *statuses.entry(outcome.status).or_default() += 1;
    }
    statuses
}

/// All as soon as there is a connection free, the last first.
struct Each {
    left: Requests,
    now: Instant,
}

impl Plan for Each {
    fn due(&self) -> Option<Instant> {
        (!self.left.is_empty()).then_some(self.now)
    }

    fn take(&mut self) -> Shot {
        let bytes = self.left.pop().expect("it is taken only when it is due");
        Shot { due: self.now, target: 0, tag: self.left.len(), bytes }
    }
}

/// So many requests, each as soon as there is a connection free and few enough are under way.
pub struct Closed<F> {
    left: usize,
    /// How many more may be under way.
    room: usize,
    now: Instant,
    choose: F,
}

impl<F: FnMut() -> (usize, usize, Rc<[u8]>)> Closed<F> {
    /// At most `room` at a time; `choose` gives target, tag and request.
    pub fn new(count: usize, room: usize, choose: F) -> Self {
        Self { left: count, room, now: Instant::now(), choose }
    }
}

impl<F: FnMut() -> (usize, usize, Rc<[u8]>)> Plan for Closed<F> {
    fn due(&self) -> Option<Instant> {
        (self.left > 0 && self.room > 0).then_some(self.now)
    }

    fn take(&mut self) -> Shot {
        self.left -= 1;
        self.room -= 1;
        let (target, tag, bytes) = (self.choose)();
        Shot { due: self.now, target, tag, bytes }
    }

    fn answered(&mut self, _outcome: &Outcome) {
        self.room += 1;
    }
}

/// Requests at a fixed rate, the target and the key of each chosen when it is due.
pub struct Steady<F> {
    next: Instant,
    every: Duration,
    end: Instant,
    choose: F,
}

impl<F: FnMut() -> (usize, usize, Rc<[u8]>)> Steady<F> {
    /// So many a second for so long; `choose` gives target, tag and request.
    pub fn new(per_second: u32, length: Duration, choose: F) -> Self {
        let next = Instant::now();
        Self { next, every: Duration::from_secs(1) / per_second, end: next + length, choose }
    }

    /// The same, but over when `over` says so.
    pub fn until(self, over: &AtomicBool) -> Until<'_, Self> {
        Until { plan: self, over }
    }
}

/// A plan that is over when somebody says so.
pub struct Until<'a, P> {
    plan: P,
    over: &'a AtomicBool,
}

impl<P: Plan> Plan for Until<'_, P> {
    fn due(&self) -> Option<Instant> {
        if self.over.load(Ordering::SeqCst) { None } else { self.plan.due() }
    }

    fn take(&mut self) -> Shot {
        self.plan.take()
    }

    fn answered(&mut self, outcome: &Outcome) {
        self.plan.answered(outcome);
    }
}

/// Chooses one of the requests at random, for one target; the tag is its place.
pub fn any_of(requests: Requests, target: usize) -> impl FnMut() -> (usize, usize, Rc<[u8]>) {
    let mut random = random();
    move || {
        let place = random.random_range(0..requests.len());
        (target, place, Rc::clone(&requests[place]))
    }
}

impl<F: FnMut() -> (usize, usize, Rc<[u8]>)> Plan for Steady<F> {
    fn due(&self) -> Option<Instant> {
        (self.next < self.end).then_some(self.next)
    }

    fn take(&mut self) -> Shot {
        let due = self.next;
        self.next += self.every;
        let (target, tag, bytes) = (self.choose)();
        Shot { due, target, tag, bytes }
    }
}

/// All at once, and each again when `Retry-After` says, until all were let in or time is over.
pub struct Insistent {
    requests: Requests,
    target: usize,
    /// The tag of the first request.
    first: usize,
    waiting: BinaryHeap<Reverse<(Instant, usize)>>,
    /// How many were not let in yet.
    left: usize,
    end: Instant,
}

impl Insistent {
    /// All are due now.
    pub fn new(requests: Requests, target: usize, first: usize, patience: Duration) -> Self {
        let now = Instant::now();
        let waiting = (0..requests.len()).map(|place| Reverse((now, place))).collect();
        let left = requests.len();
        Self { requests, target, first, waiting, left, end: now + patience }
    }

    fn is_over(&self) -> bool {
        self.left == 0 || Instant::now() > self.end
    }
}

impl Plan for Insistent {
    fn due(&self) -> Option<Instant> {
        let Reverse((due, _)) = self.waiting.peek()?;
        (*due < self.end).then_some(*due)
    }

    fn take(&mut self) -> Shot {
        let Reverse((due, place)) = self.waiting.pop().expect("it is taken only when it is due");
        let bytes = Rc::clone(&self.requests[place]);
        Shot { due, target: self.target, tag: self.first + place, bytes }
    }

    fn answered(&mut self, outcome: &Outcome) {
        if outcome.tag < self.first {
            return;
        }
        if outcome.status == 200 {
            self.left -= 1;
            return;
        }
        let again = outcome.done + Duration::from_secs(outcome.retry_after.unwrap_or(1));
        self.waiting.push(Reverse((again, outcome.tag - self.first)));
    }
}

/// A plan that goes on for as long as a flood does.
pub struct During<P> {
    /// Goes on.
    pub plan: P,
    /// The flood.
    pub flood: Insistent,
}

impl<P: Plan> During<P> {
    fn flood_is_next(&self) -> bool {
        match (self.plan.due(), self.flood.due()) {
            (Some(plan), Some(flood)) => flood < plan,
            (plan, _) => plan.is_none(),
        }
    }
}

impl<P: Plan> Plan for During<P> {
    fn due(&self) -> Option<Instant> {
        if self.flood.is_over() {
            return None;
        }
        if self.flood_is_next() { self.flood.due() } else { self.plan.due() }
    }

    fn take(&mut self) -> Shot {
        if self.flood_is_next() { self.flood.take() } else { self.plan.take() }
    }

    fn answered(&mut self, outcome: &Outcome) {
        self.plan.answered(outcome);
        self.flood.answered(outcome);
    }
}
