//! Switching a key off and on, and ending it for good.

use serde::{Deserialize, Serialize};

use super::{
    AdminState, Answer, ApiError, Asked, Error, Id, IfMatch, IntoResponse, Json, Key, KeyId,
    KeyView, MaybeBody, Response, State, ToSchema, Waiting, cluster, find_unchanged, one, schema,
    tagged,
};
use crate::admin::access::Administrator;
use crate::domain::{KeyStatus, PublicId};

/// A key that was switched, and who has confirmed it.
#[derive(Serialize)]
struct Switched<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    #[serde(flatten)]
    receipt: Option<cluster::Receipt>,
}

/// Switches a key off, which can be undone.
#[utoipa::path(
    post,
    operation_id = "disableKey",
    path = "/admin/v1/keys/{id}/disable",
    params(("id" = String, Path, description = "The key's id."), Waiting, IfMatch),
    responses(
        (status = 200, body = schema::SwitchedKey),
        (status = 409, body = Error, description = "It is revoked."),
    )
)]
pub(in crate::admin::api) async fn disable(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
    unless: IfMatch,
    Asked(waiting): Asked<Waiting>,
) -> Answer<Response> {
    let loaded = state.loaded();
    let key = find_unchanged(&state, &id, &unless, &loaded).await?.key.id;
    let asker = caller.asker();
    let key = state.mint(&loaded, &asker).set_disabled(&key, true).await?;
    let receipt = waiting.receipt(&state).await;
    let key = one(&state, &key, &loaded).await?;
    Ok(Json(Switched { key, receipt }).into_response())
}

/// Switches a key on again.
#[utoipa::path(
    post,
    operation_id = "enableKey",
    path = "/admin/v1/keys/{id}/enable",
    params(("id" = String, Path, description = "The key's id."), IfMatch),
    responses(
        (status = 200, body = Key),
        (status = 409, body = Error, description = "It is revoked."),
    )
)]
pub(in crate::admin::api) async fn enable(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
    unless: IfMatch,
) -> Answer<Response> {
    let loaded = state.loaded();
    let key = find_unchanged(&state, &id, &unless, &loaded).await?.key.id;
    let asker = caller.asker();
    let key = state.mint(&loaded, &asker).set_disabled(&key, false).await?;
    tagged(&one(&state, &key, &loaded).await?)
}

/// What is ended, and why.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin::api) struct RevokeBody {
    /// Why, for the record.
    #[schema(max_length = 500)]
    reason: Option<String>,
    /// Only this secret of it: its eight public characters. A reason is of whole keys alone.
    #[schema(pattern = "^[0-9A-Za-z]{8}$")]
    secret: Option<String>,
}

/// What was ended, and who has confirmed it.
#[derive(Serialize)]
struct Ended {
    id: KeyId,
    status: KeyStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<PublicId>,
    revoked: u64,
    #[serde(flatten)]
    receipt: Option<cluster::Receipt>,
}

/// Ends a key and all below it, or one of its secrets: at once and for good. Says how many running
/// instances have confirmed it, for which it waits 5 s at most.
#[utoipa::path(
    post,
    operation_id = "revokeKey",
    path = "/admin/v1/keys/{id}/revoke",
    params(("id" = String, Path, description = "The key's id."), Waiting, IfMatch),
    request_body = Option<RevokeBody>,
    responses((status = 200, body = schema::Ended))
)]
pub(in crate::admin::api) async fn revoke(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
    unless: IfMatch,
    Asked(waiting): Asked<Waiting>,
    MaybeBody(body): MaybeBody<RevokeBody>,
) -> Answer<Response> {
    let loaded = state.loaded();
    let id = find_unchanged(&state, &id, &unless, &loaded).await?.key.id;
    let asker = caller.asker();
    let mint = state.mint(&loaded, &asker);
    let (status, secret_id, revoked) = match (&body.secret, &body.reason) {
        (Some(_), Some(_)) => {
            return Err(ApiError::bad_request("a reason is of whole keys: leave it out"));
        }
        (Some(secret), None) => {
            let wrong = |_| ApiError::bad_request("secret is the eight public characters of one");
            let secret: PublicId = secret.parse().map_err(wrong)?;
            let key = mint.revoke_secret(&id, secret).await?;
            (key.key.status(state.now()), Some(secret), 1)
        }
        (None, reason) => {
            let revoked = mint.revoke(&id, reason.as_deref()).await?;
            (KeyStatus::Revoked, None, revoked)
        }
    };
    let receipt = waiting.receipt(&state).await;
    Ok(Json(Ended { id, status, secret_id, revoked, receipt }).into_response())
}
