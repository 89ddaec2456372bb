//! `GET /admin/v1/traffic`: what this instance did in the last hour.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{AdminState, Json, List, Serialize, State, ToSchema};
use crate::admin::access::Viewer;
use crate::domain::TrafficSample;

/// What this instance did in the last hour, a sample every five seconds, oldest first.
#[utoipa::path(
    get,
    operation_id = "listTraffic",
    path = "/admin/v1/traffic",
    responses(
        (status = 200, body = List<Sample>),
    )
)]
pub(super) async fn list(_: Viewer, State(state): State<AdminState>) -> Json<List<Sample>> {
    let data = state.live.traffic().into_iter().map(Sample::of).collect();
    Json(List { data, next_cursor: None })
}

/// What an instance did in a short while.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Sample {
    /// The end of it.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Its length.
    seconds: f64,
    /// Requests that were answered with 1xx to 3xx.
    passed: u64,
    /// Requests that an upstream answered with 4xx.
    client_errors: u64,
    /// Requests that an upstream answered with 5xx.
    upstream_errors: u64,
    /// Requests that the gateway refused.
    refused: u64,
    /// The same by reason.
    refusals: BTreeMap<&'static str, u64>,
    /// The median of what the gateway itself took, in microseconds; null without a request.
    overhead_p50_us: Option<u64>,
    /// Its 99th percentile.
    overhead_p99_us: Option<u64>,
}

impl Sample {
    fn of(sample: TrafficSample) -> Self {
        let TrafficSample { at, seconds, passed, client_errors, upstream_errors, .. } = sample;
        let TrafficSample { refused, overhead_p50_us, overhead_p99_us, .. } = sample;
        let by_reason = sample.refusals.into_iter().map(|(reason, count)| (reason.name(), count));
        Self {
            at,
            seconds,
            passed,
            client_errors,
            upstream_errors,
            refused,
            refusals: by_reason.collect(),
            overhead_p50_us,
            overhead_p99_us,
        }
    }
}
