//! What passed through an instance in a short while, for people to look at.

use jiff::Timestamp;
use serde::Serialize;

use super::refusal::Reason;

/// What an instance did between one look at its metrics and the next.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TrafficSample {
    /// The end of the span.
    pub at: Timestamp,
    /// Its length.
    pub seconds: f64,
    /// Requests that an upstream answered with 1xx to 3xx.
    pub passed: u64,
    /// Requests that an upstream answered with 4xx.
    pub client_errors: u64,
    /// Requests that an upstream answered with 5xx.
    pub upstream_errors: u64,
    /// Requests that the gateway refused, for whatever reason.
    pub refused: u64,
    /// The same by reason; those without any are left out.
    pub refusals: Vec<(Reason, u64)>,
    /// The median of what the gateway itself took, in microseconds; `None` without a request.
    pub overhead_p50_us: Option<u64>,
    /// Its 99th percentile.
    pub overhead_p99_us: Option<u64>,
}
