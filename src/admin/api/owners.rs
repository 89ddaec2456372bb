//! `/admin/v1/owners`: the accounts and organizations that keys belong to.

use serde::{Deserialize, Serialize};

use super::{
    AdminState, Answer, Asked, Body, Caller, Error, Id, IfMatch, IfNoneMatch, IntoResponse, Json,
    List, Paging, Reason, Receipt, Response, State, StatusCode, ToSchema, Waiting, cluster, search,
    tagged,
};
use crate::admin::access::{Administrator, Viewer};
use crate::domain;

/// An account or organization that keys belong to.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `domain::Owner`")]
pub(super) struct Owner {
    /// `own_…`, or `default`.
    id: String,
    /// No two owners have the same.
    name: String,
    /// `disabled` stops all its keys.
    status: OwnerStatus,
    #[schema(format = DateTime)]
    created_at: String,
}

/// Whether an owner's keys may call.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum OwnerStatus {
    Active,
    Disabled,
}

/// Which owners are listed.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Words, each of which is in the owner's id or name; A to Z are as a to z.
    #[param(max_length = 200)]
    q: Option<String>,
    /// Rows at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists owners, newest first.
#[utoipa::path(
    get,
    operation_id = "listOwners",
    path = "/admin/v1/owners",
    params(Wanted),
    responses((status = 200, body = List<Owner>))
)]
pub(super) async fn list(
    _: Viewer,
    State(state): State<AdminState>,
    Asked(wanted): Asked<Wanted>,
) -> Answer<Json<List<domain::Owner>>> {
    let request = Paging { limit: wanted.limit, cursor: wanted.cursor }.request()?;
    let page = match &wanted.q {
        Some(q) => {
            let q = search(q, &state.loaded().config.keys.format)?;
            state.store.find_owners(&q, &request).await?
        }
        None => state.store.owners(&request).await?,
    };
    Ok(Json(List { data: page.rows, next_cursor: page.next_cursor }))
}

/// An owner to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewOwner {
    /// One that no other owner has, and that does not begin with `own_`.
    #[schema(min_length = 1, max_length = 100, example = "acme")]
    name: String,
}

/// Makes an owner.
#[utoipa::path(
    post,
    operation_id = "createOwner",
    path = "/admin/v1/owners",
    request_body = NewOwner,
    responses(
        (status = 201, body = Owner),
        (status = 409, body = Error, description = "Another owner has the name, or the Idempotency-Key was used for another request."),
    )
)]
pub(super) async fn create(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Body(new): Body<NewOwner>,
) -> Answer<Response> {
    let (loaded, asker) = (state.loaded(), caller.asker());
    let owner = state.mint(&loaded, &asker).create_owner(new.name).await?;
    Ok((StatusCode::CREATED, Json(owner)).into_response())
}

/// Shows one owner.
#[utoipa::path(
    get,
    operation_id = "showOwner",
    path = "/admin/v1/owners/{id}",
    params(("id" = String, Path, description = "The owner's id."), IfNoneMatch),
    responses(
        (status = 200, body = Owner, headers(("ETag" = String, description = "Names this state of the owner."))),
        (status = 304, description = "The asker has this state already."),
    )
)]
pub(super) async fn show(
    _: Viewer,
    State(state): State<AdminState>,
    Id(id): Id,
    seen: IfNoneMatch,
) -> Answer<Response> {
    seen.answer(&find(&state, &id).await?)
}

/// An owner that was switched off, and who has confirmed it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(super) struct DisabledOwner {
    #[serde(flatten)]
    owner: Owner,
    #[serde(flatten)]
    receipt: Option<Receipt>,
}

#[derive(Serialize)]
struct Disabled {
    #[serde(flatten)]
    owner: domain::Owner,
    #[serde(flatten)]
    receipt: Option<cluster::Receipt>,
}

/// Stops all keys of an owner at once, which can be undone.
#[utoipa::path(
    post,
    operation_id = "disableOwner",
    path = "/admin/v1/owners/{id}/disable",
    params(("id" = String, Path, description = "The owner's id."), Waiting, IfMatch),
    responses((status = 200, body = DisabledOwner))
)]
pub(super) async fn disable(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
    unless: IfMatch,
    Asked(waiting): Asked<Waiting>,
) -> Answer<Response> {
    let owner = switch(&state, &caller, &id, &unless, true).await?;
    let receipt = waiting.receipt(&state).await;
    Ok(Json(Disabled { owner, receipt }).into_response())
}

/// Lets the keys of an owner call again.
#[utoipa::path(
    post,
    operation_id = "enableOwner",
    path = "/admin/v1/owners/{id}/enable",
    params(("id" = String, Path, description = "The owner's id."), IfMatch),
    responses((status = 200, body = Owner))
)]
pub(super) async fn enable(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
    unless: IfMatch,
) -> Answer<Response> {
    tagged(&switch(&state, &caller, &id, &unless, false).await?)
}

async fn switch(
    state: &AdminState,
    caller: &Caller,
    id: &str,
    unless: &IfMatch,
    disabled: bool,
) -> Answer<domain::Owner> {
    let owner = find(state, id).await?;
    unless.check(&owner)?;
    let (loaded, asker) = (state.loaded(), caller.asker());
    let mint = state.mint(&loaded, &asker);
    Ok(mint.set_owner_disabled(owner.id.as_str(), disabled).await?)
}

/// The owner of that id; a name is none.
pub(super) async fn find(state: &AdminState, id: &str) -> Answer<domain::Owner> {
    let owner = state.store.owner(id).await?;
    owner.filter(|owner| owner.id.as_str() == id).ok_or_else(|| Reason::NotFound.into())
}
