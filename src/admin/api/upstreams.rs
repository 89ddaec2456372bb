//! `GET /admin/v1/upstreams`: how each target stands, as this instance has found it.

use super::{AdminState, Json, List, Serialize, State, ToSchema};
use crate::admin::access::Viewer;
use crate::proxy::plan::{TargetPlan, UpstreamPlan};

/// Every target of every upstream, in the order of the configuration.
#[utoipa::path(
    get,
    operation_id = "listUpstreams",
    path = "/admin/v1/upstreams",
    responses(
        (status = 200, body = List<Target>),
    )
)]
pub(super) async fn list(_: Viewer, State(state): State<AdminState>) -> Json<List<Target>> {
    let plan = state.live.plan();
    let targets = plan.upstreams.iter().flat_map(|upstream| {
        let live = upstream.targets.iter().map(|target| Target::of(upstream, target, false));
        live.chain(upstream.sandbox.iter().map(|target| Target::of(upstream, target, true)))
    });
    Json(List { data: targets.collect(), next_cursor: None })
}

/// Where requests of an upstream go.
#[derive(Debug, Serialize, ToSchema)]
#[expect(clippy::struct_field_names, reason = "as the metrics and the log name it")]
pub(super) struct Target {
    /// The upstream's name.
    upstream: String,
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    target: String,
    /// Whether it is for test keys.
    sandbox: bool,
    /// Whether it is used. Where none is up, all are tried.
    up: bool,
    /// Why it is not.
    why: Option<String>,
    /// Whether its health is asked for, beside what requests find.
    checked: bool,
    /// Connections to it that are open or being made.
    connections: u64,
    /// Requests that wait until one of them is free.
    waiting: u64,
    /// How often it was left out because it failed again and again.
    ejections: u64,
    /// Requests that failed on it and were sent again.
    retries: u64,
}

impl Target {
    fn of(upstream: &UpstreamPlan, target: &TargetPlan, sandbox: bool) -> Self {
        let (state, metrics) = (&target.state, target.state.metrics());
        let scheme = if target.target.tls { "https" } else { "http" };
        let why = state.why_down();
        Self {
            upstream: upstream.upstream.name.clone(),
            target: format!("{scheme}://{}", target.target.authority),
            sandbox,
            up: why.is_none(),
            why,
            checked: upstream.upstream.health.is_some(),
            connections: metrics.connections.read(),
            waiting: metrics.waiting.read(),
            ejections: metrics.ejections.read(),
            retries: metrics.retries.read(),
        }
    }
}
