//! All that one key has counted and holds, where limits are shared: the decision about a request,
//! without its waiting.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::allowance::{After, Allowance, Stand, share};
use super::draw::{Answer, Draw, Subject};
use super::request::{Asked, How, Subjects, Verdict};
use crate::domain::{KeyId, Limit};
use crate::limit::Exceeded;
use crate::limit::window::Standing;
use crate::limit::windows::{Nearness, RouteId, Windows};

/// One key.
pub(crate) struct SharedKey {
    pub(super) id: KeyId,
    state: Mutex<State>,
    /// Told whenever an answer has come, or is not to be expected any more.
    pub(super) answered: Notify,
}

#[derive(Default)]
struct State {
    /// All that has passed here, by whichever right: what the instance's own share is measured by.
    counted: Windows,
    own: Allowance,
    /// Sorted by route.
    of_routes: Vec<(RouteId, Allowance)>,
}

impl SharedKey {
    /// A key that has counted nothing.
    pub(super) fn new(id: KeyId) -> Self {
        Self { id, state: Mutex::default(), answered: Notify::new() }
    }

    /// Decides about a request that has `waited` for an answer about those, among `live` instances.
    /// A request that passes is counted everywhere, one that does not nowhere. Beside the verdict:
    /// what Redis is to be asked about.
    pub(super) fn decide(
        &self,
        asked: Asked<'_>,
        waited: Subjects,
        how: How,
        live: u32,
        now_ms: u64,
    ) -> (Verdict, Subjects) {
        let mut state = self.lock();
        state.wait_no_more(waited);
        let mut asks = Subjects::default();
        let mut lacking = Subjects::default();
        let mut refused: Option<Standing> = None;
        for (subject, limits) in asked.subjects() {
            let (counted, allowance) = state.of(subject, now_ms);
            allowance.adopt(limits);
            let standing = match (allowance.stand(now_ms), how) {
                (Stand::Granted, _) => None,
                (Stand::Reached(standing), _) => {
                    if how == How::Granted && allowance.looks_again(now_ms) && allowance.ask() {
                        asks.add(subject);
                    }
                    Some(standing)
                }
                (Stand::Lacking, How::Granted) => {
                    lacking.add(subject);
                    None
                }
                (Stand::Lacking, How::Late) => beyond_share(counted, subject, limits, live, now_ms)
                    .or_else(|| allowance.may_owe(live, now_ms).err()),
                (Stand::Lacking, How::FarLate) => allowance.may_owe(live, now_ms).err(),
                (Stand::Lacking, How::Alone) => {
                    beyond_share(counted, subject, limits, live, now_ms)
                }
            };
            refused = longest(refused, standing);
        }
        if let Some(standing) = refused {
            return (Verdict::Refuse(Exceeded { standing }), asks);
        }
        if !lacking.is_empty() {
            return (Verdict::Wait(lacking), state.wait_for(lacking, now_ms));
        }
        (state.pass(asked, how, live, &mut asks, now_ms), asks)
    }

    /// How the limits of a subject stand, as far as is known here; counts nothing.
    pub(super) fn standings(
        &self,
        subject: Subject,
        limits: &[Limit],
        how: How,
        live: u32,
        now_ms: u64,
    ) -> Vec<Standing> {
        let mut state = self.lock();
        if subject.route().is_some_and(|route| !state.counted.has_counted(route)) {
            return limits.iter().map(|limit| Standing::whole(*limit)).collect();
        }
        let (counted, allowance) = state.of(subject, now_ms);
        if how == How::Alone {
            let state = |limit: &Limit| alone(counted, subject, *limit, live, now_ms);
            return limits.iter().map(state).collect();
        }
        allowance.adopt(limits);
        allowance.standings(now_ms).collect()
    }

    /// Whether anything was counted here of the key on a route.
    pub(crate) fn has_counted(&self, route: RouteId) -> bool {
        self.lock().counted.has_counted(route)
    }

    /// A request that waited about these has gone.
    pub(super) fn wait_no_more(&self, waited: Subjects) {
        self.lock().wait_no_more(waited);
    }

    /// What to ask Redis now about a subject.
    pub(super) fn draw(&self, subject: Subject, now_ms: u64) -> Draw {
        let mut state = self.lock();
        let (counted, allowance) = state.of(subject, now_ms);
        allowance.draw(subject, counted, now_ms)
    }

    /// Takes up the answer to a draw. Whoever waits for it looks again.
    pub(super) fn take_up(&self, draw: Draw, answer: &Answer, now_ms: u64) -> After {
        let subject = draw.subject;
        let after = self.lock().of(subject, now_ms).1.answered(draw, answer, now_ms);
        self.answered.notify_waiters();
        after
    }

    /// There is no answer about a subject, to a draw if one was made.
    pub(super) fn fail(&self, subject: Subject, draw: Option<Draw>, now_ms: u64) {
        self.lock().of(subject, now_ms).1.failed(draw);
        self.answered.notify_waiters();
    }

    /// Redis has lost what it knew.
    pub(super) fn lose(&self) {
        self.lock().allowances().for_each(|(_, allowance)| allowance.lost());
    }

    /// What Redis said was left may be less by now.
    pub(super) fn doubt(&self, live: u32, now_ms: u64) {
        let mut state = self.lock();
        let State { counted, own, of_routes } = &mut *state;
        for (subject, allowance) in allowances(own, of_routes) {
            allowance.doubt(subject, counted, live, now_ms);
        }
    }

    /// The subjects that Redis is to be told about, noted as asked about: those that owe, or give
    /// back; and where it knows `nothing`, all that have counted.
    pub(super) fn unsettled(&self, nothing: bool, now_ms: u64) -> Vec<Subject> {
        let mut state = self.lock();
        let State { counted, own, of_routes } = &mut *state;
        let mut unsettled = Vec::new();
        for (subject, allowance) in allowances(own, of_routes) {
            let owes = allowance.look_at_ms(now_ms).is_some_and(|at_ms| at_ms <= now_ms);
            let has_counted = nothing && allowance.has_counted(counted, subject, now_ms);
            if (owes || has_counted) && allowance.ask() {
                unsettled.push(subject);
            }
        }
        unsettled
    }

    /// Notes that Redis is to be asked about a subject; false: that is under way already.
    pub(super) fn ask(&self, subject: Subject, now_ms: u64) -> bool {
        self.lock().of(subject, now_ms).1.ask()
    }

    /// Holds nothing any more: what is unused is to be given back.
    pub(super) fn give_up(&self) {
        self.lock().allowances().for_each(|(_, allowance)| allowance.give_up());
    }

    /// Looks after what an answer has left over. Gives when to look again; now: Redis is to be asked.
    pub(super) fn look_after(&self, subject: Subject, now_ms: u64) -> Option<u64> {
        let mut state = self.lock();
        let (_, allowance) = state.of(subject, now_ms);
        let look_at_ms = allowance.look_at_ms(now_ms);
        allowance.is_watched = look_at_ms.is_some_and(|at_ms| at_ms > now_ms);
        // What is under way takes it along, or its answer comes back to it.
        look_at_ms.filter(|at_ms| *at_ms > now_ms || allowance.ask())
    }

    /// Whether nobody looks after a subject yet; somebody does from now on.
    pub(super) fn watch(&self, subject: Subject, now_ms: u64) -> bool {
        let mut state = self.lock();
        !std::mem::replace(&mut state.of(subject, now_ms).1.is_watched, true)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way; a poisoned lock would only be another's panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The windows of the key, and what it holds of a subject.
    fn of(&mut self, subject: Subject, now_ms: u64) -> (&mut Windows, &mut Allowance) {
        let Self { counted, own, of_routes } = self;
        let Some(route) = subject.route() else { return (counted, own) };
        let found = of_routes.binary_search_by_key(&route, |(id, _)| *id);
        let place = found.unwrap_or_else(|_| {
            // After reloads, some of them may be no route's any more.
            of_routes.retain_mut(|(_, allowance)| !allowance.is_idle(now_ms));
            let place = of_routes.partition_point(|(id, _)| *id < route);
            of_routes.insert(place, (route, Allowance::default()));
            place
        });
        (counted, &mut of_routes[place].1)
    }

    fn allowances(&mut self) -> impl Iterator<Item = (Subject, &mut Allowance)> {
        allowances(&mut self.own, &mut self.of_routes)
    }

    fn wait_no_more(&mut self, waited: Subjects) {
        if waited.own {
            self.own.wait_no_more();
        }
        if let Some(route) = waited.route
            && let Ok(place) = self.of_routes.binary_search_by_key(&route, |(id, _)| *id)
        {
            self.of_routes[place].1.wait_no_more();
        }
    }

    /// Notes that a request waits for these; gives those that nobody has asked about.
    fn wait_for(&mut self, lacking: Subjects, now_ms: u64) -> Subjects {
        let mut asks = Subjects::default();
        for subject in lacking.each() {
            let (_, allowance) = self.of(subject, now_ms);
            allowance.wait();
            if allowance.ask() {
                asks.add(subject);
            }
        }
        asks
    }

    fn pass(
        &mut self,
        asked: Asked<'_>,
        how: How,
        live: u32,
        asks: &mut Subjects,
        now_ms: u64,
    ) -> Verdict {
        self.counted.count(asked.own, asked.route, now_ms);
        let mut nearest: Option<(Nearness, Standing)> = None;
        for (subject, limits) in asked.subjects() {
            let (counted, allowance) = self.of(subject, now_ms);
            let wants_more = match allowance.stand(now_ms) {
                Stand::Granted => allowance.take() && how != How::Alone,
                Stand::Lacking | Stand::Reached(_) => {
                    allowance.owe(now_ms);
                    how != How::Alone
                }
            };
            if wants_more && allowance.ask() {
                asks.add(subject);
            }
            if how == How::Alone {
                let standings =
                    limits.iter().map(|limit| alone(counted, subject, *limit, live, now_ms));
                nearest = nearer(nearest, standings);
            } else {
                nearest = nearer(nearest, allowance.standings(now_ms));
            }
        }
        Verdict::Pass(nearest.map(|(_, standing)| standing))
    }
}

fn allowances<'a>(
    own: &'a mut Allowance,
    of_routes: &'a mut [(RouteId, Allowance)],
) -> impl Iterator<Item = (Subject, &'a mut Allowance)> {
    let of_routes = of_routes.iter_mut().map(|(id, allowance)| (Subject::Route(*id), allowance));
    std::iter::once((Subject::Own, own)).chain(of_routes)
}

/// The limit whose share of this instance is used up, if one is.
fn beyond_share(
    counted: &mut Windows,
    subject: Subject,
    limits: &[Limit],
    live: u32,
    now_ms: u64,
) -> Option<Standing> {
    let standings = limits.iter().map(|limit| alone(counted, subject, *limit, live, now_ms));
    standings
        .filter(|standing| standing.remaining == 0)
        .fold(None, |worst, standing| longest(worst, Some(standing)))
}

/// How this instance's share of a limit stands, under the limit's own name.
fn alone(
    counted: &mut Windows,
    subject: Subject,
    limit: Limit,
    live: u32,
    now_ms: u64,
) -> Standing {
    Standing { limit, ..counted.state(subject.route(), share(limit, live), now_ms) }
}

/// Of two limits that are reached, the one that is in the way longer.
fn longest(one: Option<Standing>, other: Option<Standing>) -> Option<Standing> {
    match (one, other) {
        (Some(one), Some(other)) if other.retry_after_ms <= one.retry_after_ms => Some(one),
        (one, other) => other.or(one),
    }
}

fn nearer(
    nearest: Option<(Nearness, Standing)>,
    standings: impl Iterator<Item = Standing>,
) -> Option<(Nearness, Standing)> {
    let ordered = standings.map(|standing| (Nearness::of(&standing), standing));
    nearest.into_iter().chain(ordered).min_by_key(|(nearness, _)| *nearness)
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedKey").field("id", &self.id).finish_non_exhaustive()
    }
}
