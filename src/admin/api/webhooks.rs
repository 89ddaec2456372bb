//! `/admin/v1/webhooks/deliveries`: what was sent of events, what waits, what was given up.

use serde::{Deserialize, Serialize};

use super::{AdminState, Answer, ApiError, Asked, Id, Json, List, Paging, Reason, State, ToSchema};
use crate::admin::access::{Administrator, Viewer};
use crate::domain::DeliveryId;
use crate::store::deliveries::{self, Replay};

/// Deliveries that one transaction sends again.
const BATCH: u32 = 500;

/// An event on its way to one address.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `deliveries::Delivery`")]
pub(super) struct Delivery {
    /// `dlv_…`.
    id: String,
    /// The event's: what the endpoint knows it by.
    event_id: String,
    /// The event's name.
    r#type: String,
    /// The id of the key or owner that it is about.
    subject: String,
    /// Where it goes, without what only the endpoint should know.
    url: String,
    status: DeliveryStatus,
    /// How often it was tried.
    attempts: u32,
    /// While it is pending.
    #[schema(required = true, format = DateTime)]
    next_attempt_at: Option<String>,
    /// Why the last attempt failed.
    #[schema(required = true)]
    last_error: Option<String>,
    /// When the event happened.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was delivered or given up.
    #[schema(required = true, format = DateTime)]
    ended_at: Option<String>,
}

/// How a delivery stands.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
pub(super) enum DeliveryStatus {
    Pending,
    Delivered,
    Failed,
}

/// Which deliveries are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Those that stand so.
    #[param(value_type = Option<DeliveryStatus>)]
    status: Option<String>,
    /// Rows at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists deliveries, newest first.
#[utoipa::path(
    get,
    operation_id = "listDeliveries",
    path = "/admin/v1/webhooks/deliveries",
    params(Wanted),
    responses((status = 200, body = List<Delivery>))
)]
pub(super) async fn list(
    _: Viewer,
    State(state): State<AdminState>,
    Asked(Wanted { status, limit, cursor }): Asked<Wanted>,
) -> Answer<Json<List<deliveries::Delivery>>> {
    let request = Paging { limit, cursor }.request()?;
    let wrong = || ApiError::bad_request("status is pending, delivered or failed");
    let status = match status.as_deref() {
        Some(name) => Some(deliveries::DeliveryStatus::from_name(name).ok_or_else(wrong)?),
        None => None,
    };
    let page = state.store.deliveries(status, &request).await?;
    Ok(Json(List { data: page.rows, next_cursor: page.next_cursor }))
}

/// What is sent again.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replayed {
    /// The deliveries' ids.
    #[schema(value_type = Vec<String>)]
    replayed: Vec<DeliveryId>,
}

/// Sends a delivery again, at once and with the same event id, however it stands.
#[utoipa::path(
    post,
    operation_id = "replayDelivery",
    path = "/admin/v1/webhooks/deliveries/{id}/replay",
    params(("id" = String, Path, description = "The delivery's id, or an event's, of which then every delivery is sent again.")),
    responses((status = 200, body = Replayed))
)]
pub(super) async fn replay(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
) -> Answer<Json<Replayed>> {
    let replayed = state.store.replay(&state.act(&caller), &Replay::Named(id)).await?;
    if replayed.is_empty() {
        return Err(Reason::NotFound.into());
    }
    Ok(Json(Replayed { replayed }))
}

/// Sends all deliveries again that were given up.
#[utoipa::path(
    post,
    operation_id = "replayFailed",
    path = "/admin/v1/webhooks/deliveries/replay",
    responses((status = 200, body = Replayed))
)]
pub(super) async fn replay_failed(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
) -> Answer<Json<Replayed>> {
    // Of one time, so that what fails again meanwhile is not sent a third time.
    let act = state.act(&caller);
    let mut replayed = Vec::new();
    loop {
        let some = state.store.replay(&act, &Replay::Failed(BATCH)).await?;
        if some.is_empty() {
            return Ok(Json(Replayed { replayed }));
        }
        replayed.extend(some);
    }
}
