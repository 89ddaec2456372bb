//! Giving a key a new secret.

use serde::Deserialize;

use super::{
    AdminState, Answer, Error, Id, IfMatch, MaybeBody, Response, State, StatusCode, ToSchema,
    duration, find_unchanged, schema, with_secret,
};
use crate::admin::access::Administrator;

/// How a key is rotated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin::api) struct RotateBody {
    /// How long the old secret goes on working, `0` not at all; else `keys.rotation_grace`.
    #[schema(pattern = r"^(0|[0-9]+(ms|s|m|h|d))$", example = "7d")]
    grace: Option<String>,
    /// Ends the older of two live secrets at once.
    replace: Option<bool>,
}

/// Gives a key a new secret, which is in the answer and nowhere else ever. The old one works until the
/// grace ends.
#[utoipa::path(
    post,
    operation_id = "rotateKey",
    path = "/admin/v1/keys/{id}/rotate",
    params(("id" = String, Path, description = "The key's id."), IfMatch),
    request_body = Option<RotateBody>,
    responses(
        (status = 200, body = schema::KeyWithSecret),
        (status = 409, body = Error, description = "It has two live secrets already and `replace` was not asked for, it is revoked, or the Idempotency-Key was used for another request."),
    )
)]
pub(in crate::admin::api) async fn rotate(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
    unless: IfMatch,
    MaybeBody(body): MaybeBody<RotateBody>,
) -> Answer<Response> {
    let loaded = state.loaded();
    let key = find_unchanged(&state, &id, &unless, &loaded).await?.key.id;
    let grace = body.grace.as_deref().map(|text| duration("grace", text)).transpose()?;
    let grace = grace.unwrap_or(loaded.config.keys.rotation_grace);
    let asker = caller.asker();
    let replace = body.replace.unwrap_or(false);
    let (key, minted) = state.mint(&loaded, &asker).rotate(&key, grace, replace).await?;
    with_secret(&state, &key, &minted, &loaded, StatusCode::OK).await
}
