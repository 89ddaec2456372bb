//! `/admin/v1/keys`: keys, found, shown, made, changed, ended.

pub(super) mod change;
pub(super) mod create;
pub(super) mod end;
pub(super) mod list;
pub(super) mod rotate;
mod schema;

use serde::Serialize;

use super::{
    AdminState, Answer, ApiError, Asked, Body, Error, Id, IfMatch, IfNoneMatch, IntoResponse, Json,
    List, MaybeBody, Paging, Reason, Response, State, StatusCode, ToSchema, Waiting, cluster,
    duration, end, given, read, search, tagged,
};
use crate::admin::access::{Caller, Viewer};
use crate::auth::view::KeyView;
use crate::config::LoadedConfig;
use crate::domain::{KeyId, KeyWithSecrets};
use crate::key::format::Minted;

pub(super) use schema::Key;

/// Shows one key.
#[utoipa::path(
    get,
    operation_id = "showKey",
    path = "/admin/v1/keys/{id}",
    params(("id" = String, Path, description = "The key's id."), IfNoneMatch),
    responses(
        (status = 200, body = Key, headers(("ETag" = String, description = "Names this state of the key, what it has spent counted."))),
        (status = 304, description = "The asker has this state already."),
    )
)]
pub(super) async fn show(
    _: Viewer,
    State(state): State<AdminState>,
    Id(id): Id,
    seen: IfNoneMatch,
) -> Answer<Response> {
    let key = find(&state, &id).await?;
    seen.answer(&one(&state, &key, &state.loaded()).await?)
}

/// The key of that id.
async fn find(state: &AdminState, id: &str) -> Answer<KeyWithSecrets> {
    let key = state.store.key(&KeyId::from_text(id)).await?;
    key.ok_or_else(|| Reason::NotFound.into())
}

/// The key of that id, in a state in which it may be changed.
async fn find_unchanged(
    state: &AdminState,
    id: &str,
    unless: &IfMatch,
    loaded: &LoadedConfig,
) -> Answer<KeyWithSecrets> {
    let key = find(state, id).await?;
    if unless.is_given() {
        unless.check(&one(state, &key, loaded).await?)?;
    }
    Ok(key)
}

/// A key as programs are shown it.
async fn one<'a>(
    state: &AdminState,
    key: &'a KeyWithSecrets,
    loaded: &LoadedConfig,
) -> Answer<KeyView<'a>> {
    let mut views = state.views(std::slice::from_ref(key), loaded).await?;
    Ok(views.pop().expect("one key has one view"))
}

/// A key with its new secret, the one time that it is shown.
#[derive(Serialize)]
struct WithSecret<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    secret: &'a str,
}

async fn with_secret(
    state: &AdminState,
    key: &KeyWithSecrets,
    minted: &Minted,
    loaded: &LoadedConfig,
    status: StatusCode,
) -> Answer<Response> {
    let key = one(state, key, loaded).await?;
    Ok((status, Json(WithSecret { key, secret: minted.text.expose() })).into_response())
}
