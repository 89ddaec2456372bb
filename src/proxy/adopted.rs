//! A plan as one worker has taken it up: counters resolved, pools of upstream connections kept.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use rand::RngExt as _;

use super::balance;
use super::explain::Ground;
use super::plan::{Plan, TargetPlan, UpstreamPlan};
use super::upstream::TargetPool;
use crate::telemetry::metrics::{Metrics, NO_ROUTE, RouteMetrics};

/// A plan as this worker has taken it up: counters and pools resolved.
pub struct Adopted {
    /// The plan.
    pub plan: Arc<Plan>,
    /// What this worker's refusals are told from.
    pub ground: Arc<Ground>,
    routes: Vec<Arc<RouteMetrics>>,
    unrouted: Arc<RouteMetrics>,
    upstreams: Vec<(Targets, Option<Targets>)>,
}

/// Targets that share requests among them.
pub struct Targets {
    pools: Vec<Rc<TargetPool>>,
    random: Cell<u64>,
    attempts: usize,
}

impl Targets {
    fn new(targets: &[TargetPlan], plan: &UpstreamPlan, before: Option<&Adopted>) -> Self {
        let pool = |target: &TargetPlan| {
            let kept = before.and_then(|before| before.pool(target, plan));
            kept.unwrap_or_else(|| Rc::new(TargetPool::new(target, plan)))
        };
        let retries = plan.upstream.retries as usize;
        Self {
            pools: targets.iter().map(pool).collect(),
            random: Cell::new(rand::rng().random::<u64>() | 1),
            attempts: (retries + 1).min(targets.len()),
        }
    }

    /// The target that a request goes to which has already been to those `tried`.
    pub fn choose(&self, tried: &[usize], now_ms: u64) -> usize {
        if self.pools.len() == 1 {
            return 0;
        }
        // A request that has failed once is not risked on a trial.
        if tried.is_empty()
            && let Some(left_out) = self.pools.iter().position(|p| p.state().try_again(now_ms))
        {
            return left_out;
        }
        let stands = |target: usize| self.pools[target].state().stands();
        let busy = |target: usize| self.pools[target].busy();
        balance::choose(self.pools.len(), tried, stands, busy, self.next_random())
    }

    /// One target's pool.
    pub fn pool(&self, target: usize) -> &Rc<TargetPool> {
        &self.pools[target]
    }

    /// How many targets one request may be sent to, at least 1.
    pub fn attempts(&self) -> usize {
        self.attempts
    }

    /// Xorshift64* (Vigna, 2016): chance enough to spread load, at a nanosecond.
    fn next_random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

impl Adopted {
    /// Takes up a plan; pools of targets that were there `before` go on.
    pub fn new(plan: Arc<Plan>, metrics: &Metrics, before: Option<&Self>) -> Self {
        let routes = plan.router.routes().iter().map(|route| metrics.route(&route.path)).collect();
        let upstreams = plan.upstreams.iter().map(|upstream| {
            let sandbox = (!upstream.sandbox.is_empty())
                .then(|| Targets::new(&upstream.sandbox, upstream, before));
            (Targets::new(&upstream.targets, upstream, before), sandbox)
        });
        let upstreams = upstreams.collect();
        let ground = Arc::new(Ground::of(&plan));
        Self { routes, unrouted: metrics.route(NO_ROUTE), upstreams, ground, plan }
    }

    /// Where requests of an upstream go; those of test keys to its sandbox, if it has one.
    pub fn targets(&self, upstream: usize, test: bool) -> &Targets {
        match &self.upstreams[upstream] {
            (_, Some(sandbox)) if test => sandbox,
            (targets, _) => targets,
        }
    }

    /// The counters of a route, or of what had none.
    pub fn route_metrics(&self, route: Option<usize>) -> &RouteMetrics {
        route.map_or(&self.unrouted, |route| &self.routes[route])
    }

    /// Every pool.
    pub fn pools(&self) -> impl Iterator<Item = &Rc<TargetPool>> {
        let sets = self.upstreams.iter().flat_map(|(live, test)| [Some(live), test.as_ref()]);
        sets.flatten().flat_map(|targets| &targets.pools)
    }

    /// The pool of the same target of the same upstream, if it is made as it was then.
    fn pool(&self, target: &TargetPlan, plan: &UpstreamPlan) -> Option<Rc<TargetPool>> {
        self.pools().find(|pool| pool.serves(target, plan)).cloned()
    }
}
