//! `GET /admin/v1/instances`: who runs, and how far each is behind.

use super::{AdminState, Answer, Asked, Json, List, Paging, State, ToSchema};
use crate::admin::access::Viewer;
use crate::domain::SeenInstance;

/// The instances that were heard of within a day, in the order of their start.
#[utoipa::path(
    get,
    operation_id = "listInstances",
    path = "/admin/v1/instances",
    params(Paging),
    responses((status = 200, body = List<Instance>))
)]
pub(super) async fn list(
    _: Viewer,
    State(state): State<AdminState>,
    Asked(paging): Asked<Paging>,
) -> Answer<Json<List<SeenInstance>>> {
    let request = paging.request()?;
    let mut data = state.store.instances().await?;
    if let Some(after) = &request.after {
        data.retain(|seen| seen.instance.id.as_str() > after.as_str());
    }
    let shown = request.limit as usize;
    let more = data.len() > shown;
    data.truncate(shown);
    let next_cursor = data.last().filter(|_| more).map(|last| last.instance.id.to_string());
    Ok(Json(List { data, next_cursor }))
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
    status: InstanceStatus,
    /// How long ago the oldest change was made that it lacks.
    lag_ms: u64,
    /// How long ago it was heard of.
    seen_ms_ago: u64,
}

/// `silent`: it is not heard of any more, and did not say that it stops.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum InstanceStatus {
    Running,
    Silent,
}
