//! Making a key, and one under another.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::list::environment;
use super::{
    AdminState, Answer, ApiError, Body, Caller, Id, KeyId, LoadedConfig, Response, State,
    StatusCode, ToSchema, end, find, read, schema, with_secret,
};
use crate::admin::access::Administrator;
use crate::admin::api::money::Amount;
use crate::auth::mint::{Grants, NewKey};

/// A key to be made: what is left out is what its parent has, where it has one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin::api) struct NewKeyBody {
    /// What people call it; need not be unique.
    #[schema(min_length = 1, max_length = 100, example = "billing worker")]
    name: String,
    /// Whose it is: an owner's id or name; else the owner `default`.
    owner: Option<String>,
    /// Else `live`.
    #[schema(value_type = Option<schema::Environment>)]
    environment: Option<String>,
    /// What it may do: names of the catalogue, `prefix:*` or `*`.
    scopes: Option<Vec<String>>,
    /// Bundles of scopes that the configuration has names for.
    permissions: Option<Vec<String>>,
    /// When it stops by itself.
    #[schema(format = DateTime, example = "2030-01-31T00:00:00Z")]
    expires_at: Option<jiff::Timestamp>,
    /// The same in other words: `90d` from now, `never`, or a day like `2030-01-31`.
    #[schema(example = "90d")]
    expires: Option<String>,
    /// What it may spend in a calendar month (UTC); else without bound.
    monthly_budget: Option<Amount>,
    /// Its own limits, one a window; else the configuration's.
    #[schema(example = json!(["60/min"]))]
    limits: Option<Vec<String>>,
    /// From where it may call; else from anywhere.
    #[schema(example = json!(["203.0.113.0/24"]))]
    allowed_ips: Option<Vec<String>>,
    /// The key that it is under.
    parent_id: Option<String>,
    /// Notes.
    metadata: Option<BTreeMap<String, String>>,
    /// Every how many days a new secret is due.
    #[schema(minimum = 1, maximum = 3650)]
    rotation_interval_days: Option<u32>,
}

/// Makes a key. Its secret is in the answer, and nowhere else ever.
#[utoipa::path(
    post,
    operation_id = "createKey",
    path = "/admin/v1/keys",
    request_body = NewKeyBody,
    responses((status = 201, body = schema::KeyWithSecret))
)]
pub(in crate::admin::api) async fn create(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Body(body): Body<NewKeyBody>,
) -> Answer<Response> {
    let loaded = state.loaded();
    let parent = match &body.parent_id {
        Some(id) => Some(parent(&state, id).await?),
        None => None,
    };
    make(&state, &caller, new_key(body, parent, state.now())?, &loaded).await
}

/// Makes a key under another one, which never has more than that.
#[utoipa::path(
    post,
    operation_id = "createChild",
    path = "/admin/v1/keys/{id}/children",
    params(("id" = String, Path, description = "The id of the key above it.")),
    request_body = NewKeyBody,
    responses((status = 201, body = schema::KeyWithSecret))
)]
pub(in crate::admin::api) async fn create_child(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
    Body(body): Body<NewKeyBody>,
) -> Answer<Response> {
    let loaded = state.loaded();
    let parent = find(&state, &id).await?.key.id;
    if body.parent_id.as_deref().is_some_and(|given| given != parent.as_str()) {
        return Err(ApiError::bad_request("parent_id is another key than the one in the path"));
    }
    make(&state, &caller, new_key(body, Some(parent), state.now())?, &loaded).await
}

async fn make(
    state: &AdminState,
    caller: &Caller,
    new: NewKey,
    loaded: &LoadedConfig,
) -> Answer<Response> {
    let (key, minted) = state.mint(loaded, &caller.asker()).create(new).await?;
    with_secret(state, &key, &minted, loaded, StatusCode::CREATED).await
}

async fn parent(state: &AdminState, id: &str) -> Answer<KeyId> {
    let none = || ApiError::bad_request("there is no key with the id in parent_id");
    if id.chars().any(char::is_control) {
        return Err(none());
    }
    let key = state.store.key(&KeyId::from_text(id)).await?;
    Ok(key.ok_or_else(none)?.key.id)
}

fn new_key(body: NewKeyBody, parent: Option<KeyId>, now: jiff::Timestamp) -> Answer<NewKey> {
    let grants = match (body.scopes, body.permissions) {
        (None, None) => None,
        (scopes, permissions) => Some(Grants {
            scopes: scopes.unwrap_or_default(),
            permissions: permissions.unwrap_or_default(),
        }),
    };
    Ok(NewKey {
        name: body.name,
        parent,
        owner: body.owner,
        environment: body.environment.as_deref().map(environment).transpose()?,
        grants,
        limits: texts("limits", body.limits)?,
        allowed_ips: texts("allowed_ips", body.allowed_ips)?,
        expires_at: end(body.expires_at.map(Some), body.expires, now)?,
        monthly_budget: body.monthly_budget.map(|amount| amount.0),
        metadata: body.metadata.unwrap_or_default(),
        rotation_interval_days: body.rotation_interval_days,
    })
}

/// A list of texts that each say something.
pub(super) fn texts<T>(name: &str, texts: Option<Vec<String>>) -> Answer<Option<Vec<T>>>
where
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let read = |texts: Vec<String>| texts.iter().map(|text| read(name, text)).collect();
    texts.map(read).transpose()
}
