//! `/admin/v1/usage` and `/admin/v1/keys/{id}/usage`: what was used, and what it cost.

use serde::{Deserialize, Serialize};

use super::{
    AdminState, Answer, ApiError, Asked, Id, Json, List, Paging, Reason, State, ToSchema, since,
};
use crate::admin::access::Viewer;
use crate::domain::{KeyId, Millionths};
use crate::store::{PageRequest, UsageBy, UsageFilter, UsageRow};

/// What was used by one hour, day, key, owner, route or status.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `Used`")]
pub(super) struct Usage {
    /// Which: an hour's beginning, a day's date, an id, a route's path, a status.
    group: String,
    /// Requests that were answered.
    requests: u64,
    /// What they cost, as a decimal.
    cost: String,
}

#[derive(Debug, Serialize)]
pub(super) struct Used {
    group: String,
    requests: u64,
    cost: Millionths,
}

/// By what usage is added up.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
pub(super) enum Group {
    Hour,
    Day,
    Key,
    Owner,
    Route,
    Status,
}

/// What is added up, and how.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Only of this key: its id.
    key: Option<String>,
    /// Only of this owner's keys: its id or name.
    owner: Option<String>,
    /// By what; else by day. Hours and days are those of UTC.
    #[param(value_type = Option<Group>)]
    by: Option<String>,
    /// Not before: a length of time like `7d`, or a moment.
    #[param(example = "7d")]
    since: Option<String>,
    /// Rows at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// The same of one key.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct WantedOfKey {
    /// By what; else by day. Hours and days are those of UTC.
    #[param(value_type = Option<Group>)]
    by: Option<String>,
    /// Not before: a length of time like `7d`, or a moment.
    #[param(example = "7d")]
    since: Option<String>,
    /// Rows at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Adds up what was used, in the order of the groups.
#[utoipa::path(
    get,
    operation_id = "usage",
    path = "/admin/v1/usage",
    params(Wanted),
    responses((status = 200, body = List<Usage>))
)]
pub(super) async fn all(
    _: Viewer,
    State(state): State<AdminState>,
    Asked(wanted): Asked<Wanted>,
) -> Answer<Json<List<Used>>> {
    page(&state, wanted).await
}

/// Adds up what a key has used, in the order of the groups.
#[utoipa::path(
    get,
    operation_id = "usageOfKey",
    path = "/admin/v1/keys/{id}/usage",
    params(("id" = String, Path, description = "The key's id."), WantedOfKey),
    responses((status = 200, body = List<Usage>))
)]
pub(super) async fn of_key(
    _: Viewer,
    State(state): State<AdminState>,
    Id(id): Id,
    Asked(WantedOfKey { by, since, limit, cursor }): Asked<WantedOfKey>,
) -> Answer<Json<List<Used>>> {
    let key = state.store.key(&KeyId::from_text(id.as_str())).await?;
    key.ok_or_else(|| ApiError::from(Reason::NotFound))?;
    let wanted = Wanted { key: Some(id), owner: None, by, since, limit, cursor };
    page(&state, wanted).await
}

async fn page(state: &AdminState, wanted: Wanted) -> Answer<Json<List<Used>>> {
    let request = Paging { limit: wanted.limit, cursor: wanted.cursor }.request()?;
    let wrong = |()| ApiError::bad_request("by is hour, day, key, owner, route or status");
    let by: UsageBy = wanted.by.as_deref().unwrap_or("day").parse().map_err(wrong)?;
    let since = wanted.since.as_deref().map(|text| since(text, state.now())).transpose()?;
    let owner = match &wanted.owner {
        Some(owner) => match state.store.owner(owner).await? {
            Some(owner) => Some(owner.id),
            None => return Ok(Json(List::default())),
        },
        None => None,
    };
    let filter = UsageFilter { key: wanted.key.map(KeyId::from_text), owner, since };
    Ok(Json(cut(state.store.usage(&filter, by).await?, &request)?))
}

/// The groups behind the cursor, so many at most.
fn cut(rows: Vec<UsageRow>, request: &PageRequest) -> Answer<List<Used>> {
    let begin = match &request.after {
        None => 0,
        Some(after) => {
            let place = rows.iter().position(|row| row.group == *after);
            place.ok_or_else(|| ApiError::bad_request("cursor is no group that was listed"))? + 1
        }
    };
    let shown = request.limit as usize;
    let more = rows.len() - begin > shown;
    let used = |UsageRow { group, requests, cost }| Used { group, requests, cost };
    let data: Vec<Used> = rows.into_iter().skip(begin).take(shown).map(used).collect();
    let next_cursor = data.last().filter(|_| more).map(|last| last.group.clone());
    Ok(List { data, next_cursor })
}
