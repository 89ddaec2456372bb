//! `GET /admin/v1/keys/{id}/limits`: how a key's limits stand, by the very counters that decide.

use super::{AdminState, Answer, ApiError, Id, Json, Serialize, State, ToSchema};
use crate::admin::access::Viewer;
use crate::domain::{KeyId, LimitStanding};

/// How the limits of a key stand on this instance: its own, and those of the routes that were counted
/// for it lately. With `cluster.redis`, as far as this instance knows.
#[utoipa::path(
    get,
    operation_id = "showLimits",
    path = "/admin/v1/keys/{id}/limits",
    params(("id" = String, Path, description = "The key's id.")),
    responses(
        (status = 200, body = Standings),
    )
)]
pub(super) async fn show(
    _: Viewer,
    State(state): State<AdminState>,
    Id(id): Id,
) -> Answer<Json<Held>> {
    let id = KeyId::from_text(id);
    if let Some(data) = state.live.limits(&id) {
        return Ok(Json(Held { held: true, data }));
    }
    match state.store.key(&id).await? {
        Some(_) => Ok(Json(Held { held: false, data: Vec::new() })),
        None => Err(ApiError::not_found("There is no such key")),
    }
}

/// The limits of a key.
#[derive(Serialize)]
pub(super) struct Held {
    held: bool,
    data: Vec<LimitStanding>,
}

/// The limits of a key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `Held`")]
pub(super) struct Standings {
    /// Whether this instance holds the key. If not, nothing is counted for it here.
    held: bool,
    /// Empty: nothing is counted for the key.
    data: Vec<Standing>,
}

/// How a limit stands.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `LimitStanding`")]
struct Standing {
    /// As in `60/min`.
    limit: String,
    /// The route whose own limit it is; null: it holds for all that the key does.
    route: Option<String>,
    /// How many more requests would pass now.
    remaining: u32,
    /// When the window is whole again.
    #[schema(format = DateTime)]
    reset_at: String,
}
