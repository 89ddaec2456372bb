//! `GET /admin/v1/instances`: who runs, and how far each is behind.

use super::*;
use crate::admin::access::Viewer;
use crate::domain::SeenInstance;

/// The instances that were heard of within a day, in the order of their start.
#[utoipa::path(
    get,
    path = "/admin/v1/instances",
    responses(
        (status = 200, body = List<Instance>),
        (status = 401, body = Error, description = "No admin token, or not a good one."),
        (status = 503, body = Error, description = "The store is out of reach."),
    )
)]
pub(super) async fn list(
    _: Viewer,
    State(state): State<AdminState>,
) -> Answer<Json<List<SeenInstance>>> {
    let data = state.store.instances().await?;
    Ok(Json(List { data, next_cursor: None }))
}

/// A running gateway, or one that was heard of within a day.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `SeenInstance`")]
pub(super) struct Instance {
    /// `inst_…`; ids sort by the instances' start.
    id: String,
    /// The machine's name and the process's id there.
    host: String,
    /// Of keygate.
    version: String,
    /// By the instance's own clock.
    #[schema(format = DateTime)]
    started_at: String,
    /// Every change up to this one is in force on it.
    #[schema(minimum = 0)]
    revision: i64,
    /// Of the configuration in force.
    config_hash: String,
    /// `running`, or `silent` where it is not heard of any more and did not say that it stops.
    #[schema(value_type = String)]
    status: String,
    /// How long ago the oldest change was made that it lacks.
    lag_ms: u64,
    /// How long ago it was heard of.
    seen_ms_ago: u64,
}
