//! A plan as one worker has taken it up: counters resolved, pools of upstream connections kept.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use super::plan::{Plan, TargetPlan, UpstreamPlan};
use super::upstream::TargetPool;
use crate::config::Target;
use crate::telemetry::metrics::{Metrics, NO_ROUTE, RouteMetrics, TargetMetrics};

/// A plan as this worker has taken it up: counters and pools resolved.
pub struct Adopted {
    /// The plan.
    pub plan: Arc<Plan>,
    routes: Vec<Arc<RouteMetrics>>,
    unrouted: Arc<RouteMetrics>,
    upstreams: Vec<(Targets, Option<Targets>)>,
}

/// Targets that are used in turn.
pub struct Targets {
    pools: Vec<Rc<TargetPool>>,
    turn: Cell<usize>,
    attempts: usize,
}

impl Targets {
    fn new(
        targets: &[TargetPlan],
        plan: &UpstreamPlan,
        metrics: &Metrics,
        before: Option<&Adopted>,
    ) -> Self {
        let pool = |target: &TargetPlan| {
            let metrics = metrics.target(&plan.upstream.name, &target.target.authority);
            let kept = before.and_then(|before| before.pool(&target.target, &metrics));
            let connect_timeout = plan.upstream.connect_timeout;
            kept.unwrap_or_else(|| {
                Rc::new(TargetPool::new(target.target.clone(), connect_timeout, metrics))
            })
        };
        let retries = plan.upstream.retries as usize;
        Self {
            pools: targets.iter().map(pool).collect(),
            turn: Cell::new(0),
            attempts: (retries + 1).min(targets.len()),
        }
    }

    /// The next target's pool.
    pub fn next(&self) -> &Rc<TargetPool> {
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        &self.pools[turn % self.pools.len()]
    }

    /// How many targets one request may be sent to, at least 1.
    pub fn attempts(&self) -> usize {
        self.attempts
    }
}

impl Adopted {
    /// Takes up a plan; pools of targets that were there `before` go on.
    pub fn new(plan: Arc<Plan>, metrics: &Metrics, before: Option<&Self>) -> Self {
        let routes = plan.router.routes().iter().map(|route| metrics.route(&route.path)).collect();
        let upstreams = plan.upstreams.iter().map(|upstream| {
            let sandbox = (!upstream.sandbox.is_empty())
                .then(|| Targets::new(&upstream.sandbox, upstream, metrics, before));
            (Targets::new(&upstream.targets, upstream, metrics, before), sandbox)
        });
        let upstreams = upstreams.collect();
        Self { routes, unrouted: metrics.route(NO_ROUTE), upstreams, plan }
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

    /// The pool of the same target of the same upstream.
    fn pool(&self, target: &Target, metrics: &Arc<TargetMetrics>) -> Option<Rc<TargetPool>> {
        let same = |pool: &&Rc<TargetPool>| pool.target() == target && pool.is_of(metrics);
        self.pools().find(same).cloned()
    }
}
