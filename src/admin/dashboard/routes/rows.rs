//! Routes and upstreams as the page shows them.

use crate::admin::dashboard::words::listed;
use crate::config::{self, units};
use crate::domain::Millionths;
use crate::proxy::plan::{Plan, TargetPlan, UpstreamPlan};
use crate::proxy::route::{Requirement, Route};

/// A route: what it asks for and where it leads.
pub(super) struct RouteRow {
    pub(super) methods: String,
    pub(super) path: String,
    /// Which key may.
    pub(super) needs: String,
    pub(super) is_public: bool,
    /// Limits of each key on it, what it costs, whether test keys may.
    pub(super) terms: Vec<String>,
    /// The upstream; `None`: keygate answers it itself.
    pub(super) upstream: Option<String>,
}

/// An upstream with its targets.
pub(super) struct UpstreamRow {
    pub(super) name: String,
    pub(super) targets: Vec<TargetRow>,
    /// How its health is checked.
    pub(super) checked: String,
    pub(super) routes: usize,
}

/// A target and how it stands.
pub(super) struct TargetRow {
    pub(super) address: String,
    pub(super) status: &'static str,
    /// Why it is down.
    pub(super) why: Option<String>,
    pub(super) is_sandbox: bool,
}

/// All routes in the order in which they are tried.
pub(super) fn routes(plan: &Plan) -> Vec<RouteRow> {
    plan.router.in_match_order().into_iter().map(|route| RouteRow::new(route, plan)).collect()
}

impl RouteRow {
    fn new(route: &Route, plan: &Plan) -> Self {
        let configured = plan.config.routes.get(route.index);
        let methods = match (route.call, configured) {
            (Some(call), _) => call.method().to_string(),
            (None, Some(configured)) if !configured.methods.is_empty() => {
                listed(&configured.methods)
            }
            _ => "any".to_owned(),
        };
        Self {
            methods,
            path: route.path.to_string(),
            needs: route.requirement.in_words(),
            is_public: matches!(route.requirement, Requirement::Public),
            terms: terms(route, configured),
            upstream: plan.upstreams.get(route.upstream).map(|it| it.upstream.name.clone()),
        }
    }
}

fn terms(route: &Route, configured: Option<&config::Route>) -> Vec<String> {
    let limits = route.limits.iter().map(|limit| format!("{limit} for each key"));
    let fixed = Millionths::new(route.charge.fixed).unwrap_or_default();
    let cost = match &route.charge.header {
        Some(header) => Some(format!("costs what the upstream says in {header}, else {fixed}")),
        None => (!route.charge.is_free()).then(|| format!("costs {fixed}")),
    };
    let no_test_keys = (!route.allow_test_keys).then(|| "no test keys".to_owned());
    let strip = configured.map(|it| it.strip_prefix.as_str()).filter(|strip| !strip.is_empty());
    let strip = strip.map(|strip| format!("without {strip}"));
    let cors = route.cors.is_some().then(|| "CORS".to_owned());
    limits.chain(cost).chain(no_test_keys).chain(strip).chain(cors).collect()
}

impl UpstreamRow {
    pub(super) fn new(upstream: &UpstreamPlan, plan: &Plan) -> Self {
        let target = |is_sandbox: bool| move |target| TargetRow::new(target, is_sandbox);
        let targets = upstream.targets.iter().map(target(false));
        let targets = targets.chain(upstream.sandbox.iter().map(target(true))).collect();
        let checked = match &upstream.upstream.health {
            Some(health) => {
                let interval = units::format_duration(health.interval);
                format!("GET {} every {interval}, and by every request", health.path)
            }
            None => "by every request".to_owned(),
        };
        let name = upstream.upstream.name.clone();
        let leads_here = |route: &&Route| {
            plan.upstreams.get(route.upstream).is_some_and(|it| it.upstream.name == name)
        };
        let routes = plan.router.routes().iter().filter(leads_here).count();
        Self { name, targets, checked, routes }
    }
}

impl TargetRow {
    fn new(target: &TargetPlan, is_sandbox: bool) -> Self {
        let scheme = if target.target.tls { "https" } else { "http" };
        let why = target.state.why_down();
        Self {
            address: format!("{scheme}://{}", target.target.authority),
            status: if why.is_none() { "up" } else { "down" },
            why,
            is_sandbox,
        }
    }
}
