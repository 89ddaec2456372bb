//! Keys, searched for and filtered.

use serde::Deserialize;

use super::{
    AdminState, Answer, ApiError, Asked, Id, IntoResponse, Json, Key, KeyId, KeyView, List,
    LoadedConfig, Paging, Response, State, Viewer, duration, find, schema, search,
};
use crate::domain::rotation::earlier;
use crate::domain::{Environment, KeyStatus, OwnerId};
use crate::store::{KeyFilter, Overdue};

/// Which keys are listed: all that every given field says.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(in crate::admin::api) struct Wanted {
    /// Words, each of which is in the key's id, name or notes, its owner's name or its secrets' hints;
    /// A to Z are as a to z.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Of this owner: its id or name.
    owner: Option<String>,
    /// In this status.
    #[param(value_type = Option<schema::KeyStatus>)]
    status: Option<String>,
    /// Of this environment.
    #[param(value_type = Option<schema::Environment>)]
    environment: Option<String>,
    /// Having this scope in so many words.
    scope: Option<String>,
    /// Right below this key: its id.
    parent: Option<String>,
    /// Made before, and not used for so long.
    #[param(pattern = r"^(0|[0-9]+(ms|s|m|h|d))$", example = "30d")]
    unused_for: Option<String>,
    /// Whose newest secret is older.
    #[param(pattern = r"^(0|[0-9]+(ms|s|m|h|d))$", example = "90d")]
    older_than: Option<String>,
    /// Not revoked, and ending by itself within this.
    #[param(pattern = r"^(0|[0-9]+(ms|s|m|h|d))$", example = "7d")]
    expiring_within: Option<String>,
    /// Active, with a rotation that is overdue; no other status may be asked for beside it.
    overdue: Option<bool>,
    /// Rows at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists keys, newest first.
#[utoipa::path(
    get,
    operation_id = "listKeys",
    path = "/admin/v1/keys",
    params(Wanted),
    responses((status = 200, body = List<Key>))
)]
pub(in crate::admin::api) async fn list(
    _: Viewer,
    State(state): State<AdminState>,
    Asked(wanted): Asked<Wanted>,
) -> Answer<Response> {
    page(&state, wanted, None).await
}

/// Lists the keys right below one, newest first.
#[utoipa::path(
    get,
    operation_id = "listChildren",
    path = "/admin/v1/keys/{id}/children",
    params(("id" = String, Path, description = "The key's id."), Paging),
    responses((status = 200, body = List<Key>))
)]
pub(in crate::admin::api) async fn children(
    _: Viewer,
    State(state): State<AdminState>,
    Id(id): Id,
    Asked(Paging { limit, cursor }): Asked<Paging>,
) -> Answer<Response> {
    let parent = find(&state, &id).await?.key.id;
    page(&state, Wanted { limit, cursor, ..Wanted::default() }, Some(parent)).await
}

async fn page(state: &AdminState, wanted: Wanted, parent: Option<KeyId>) -> Answer<Response> {
    let loaded = state.loaded();
    let request = Paging { limit: wanted.limit, cursor: wanted.cursor.clone() }.request()?;
    let Some(filter) = filter(state, wanted, &loaded).await? else {
        return Ok(Json(List::<KeyView<'_>>::default()).into_response());
    };
    let filter = KeyFilter { parent: parent.or(filter.parent), ..filter };
    let keys = state.store.keys(&filter, &request).await?;
    let data = state.views(&keys.rows, &loaded).await?;
    Ok(Json(List { data, next_cursor: keys.next_cursor }).into_response())
}

/// As the store is asked; `None`: there is no such owner, so it has no keys.
async fn filter(
    state: &AdminState,
    wanted: Wanted,
    loaded: &LoadedConfig,
) -> Answer<Option<KeyFilter>> {
    let (now, policy) = (state.now(), &loaded.config.keys);
    let overdue = wanted.overdue.unwrap_or(false);
    let status = wanted.status.as_deref().map(status).transpose()?;
    if overdue && status.is_some_and(|status| status != KeyStatus::Active) {
        return Err(ApiError::bad_request("only active keys are overdue: leave out status"));
    }
    let length = |name: &str, text: &Option<String>| {
        text.as_deref().map(|text| duration(name, text)).transpose()
    };
    let ahead =
        |length: std::time::Duration| now.checked_add(length).unwrap_or(jiff::Timestamp::MAX);
    let mut filter = KeyFilter {
        owner: None,
        status: status.or(overdue.then_some(KeyStatus::Active)).map(|status| (status, now)),
        secret_older_than: length("older_than", &wanted.older_than)?.map(|long| earlier(now, long)),
        unused_since: length("unused_for", &wanted.unused_for)?.map(|long| earlier(now, long)),
        parent: wanted.parent.map(KeyId::from_text),
        ancestor: None,
        environment: wanted.environment.as_deref().map(environment).transpose()?,
        overdue: overdue.then(|| Overdue::under(policy, now)),
        expiring: length("expiring_within", &wanted.expiring_within)?.map(|it| (now, ahead(it))),
        search: wanted.q.map(|q| search(&q, &policy.format)).transpose()?,
        scope: wanted.scope,
    };
    if let Some(owner) = &wanted.owner {
        filter.owner = owner_id(state, owner).await?;
        if filter.owner.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(filter))
}

async fn owner_id(state: &AdminState, id_or_name: &str) -> Answer<Option<OwnerId>> {
    Ok(state.store.owner(id_or_name).await?.map(|owner| owner.id))
}

fn status(text: &str) -> Answer<KeyStatus> {
    let found = KeyStatus::ALL.into_iter().find(|status| status.name() == text);
    found.ok_or_else(|| ApiError::bad_request("status is active, disabled, expired or revoked"))
}

/// `live` or `test`.
pub(super) fn environment(text: &str) -> Answer<Environment> {
    text.parse().map_err(|()| ApiError::bad_request("environment is live or test"))
}
