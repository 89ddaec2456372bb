//! `/admin/v1/owners/{id}/credits`: what an owner has paid in advance.
#![expect(clippy::option_option, reason = "left out, null and a value are three things")]

use serde::Deserialize;

use super::money::Amount;
use super::owners::find;
use super::{
    AdminState, Answer, ApiError, Body, Error, Id, IfMatch, IfNoneMatch, IntoResponse, Json,
    Response, State, StatusCode, ToSchema, given, object, tagged,
};
use crate::admin::access::{Administrator, Viewer};
use crate::store::{self, CreditPolicy};

/// What an owner has paid in advance.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `store::Credits`")]
pub(super) struct Credits {
    /// The owner's id.
    owner: String,
    /// What is left, as a decimal; below 0 only by costs that nobody knew before.
    balance: String,
    /// Below it the event `credits.low` is told.
    #[schema(required = true)]
    low_threshold: Option<String>,
    /// What is asked of the billing system when they run out.
    #[schema(required = true)]
    recharge: Option<Recharge>,
    /// Whether that was asked for and has not come.
    recharge_asked: bool,
}

/// What is asked of the billing system, which answers by adding credits.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `store::Recharge`")]
struct Recharge {
    /// Below this balance.
    threshold: String,
    /// So much.
    amount: String,
}

/// Shows an owner's credits.
#[utoipa::path(
    get,
    operation_id = "showCredits",
    path = "/admin/v1/owners/{id}/credits",
    params(("id" = String, Path, description = "The owner's id."), IfNoneMatch),
    responses(
        (status = 200, body = Credits, headers(("ETag" = String, description = "Names this state of the credits."))),
        (status = 304, description = "The asker has this state already."),
        (status = 404, body = Error, description = "There is no such owner, or it has no credits: its keys need none."),
    )
)]
pub(super) async fn show(
    _: Viewer,
    State(state): State<AdminState>,
    Id(id): Id,
    seen: IfNoneMatch,
) -> Answer<Response> {
    let owner = find(&state, &id).await?;
    let none = || ApiError::not_found("The owner has no credits: its keys need none");
    seen.answer(&state.store.credits(&owner.id).await?.ok_or_else(none)?)
}

/// Credits to be added.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewCredits {
    /// More than nothing.
    amount: Amount,
    /// What for: an invoice, a payment.
    #[schema(max_length = 500)]
    reason: Option<String>,
}

/// Adds to an owner's credits; from the first time on its keys spend them.
#[utoipa::path(
    post,
    operation_id = "addCredits",
    path = "/admin/v1/owners/{id}/credits",
    params(("id" = String, Path, description = "The owner's id.")),
    request_body = NewCredits,
    responses(
        (status = 201, body = Credits),
        (status = 409, body = Error, description = "That many cannot be kept, or the Idempotency-Key was used for another request."),
    )
)]
pub(super) async fn add(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
    Body(new): Body<NewCredits>,
) -> Answer<Response> {
    let (loaded, asker) = (state.loaded(), caller.asker());
    let owner = find(&state, &id).await?;
    let reason = new.reason.unwrap_or_default();
    let mint = state.mint(&loaded, &asker);
    let credits = mint.add_credits(&owner.id, new.amount.0, &reason).await?;
    Ok((StatusCode::CREATED, Json(credits)).into_response())
}

/// What is to happen when an owner's credits run out; what is left out stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyBody {
    /// Tell `credits.low` below this balance; null: never.
    #[serde(default, deserialize_with = "given")]
    low_threshold: Option<Option<Amount>>,
    /// Ask for a recharge; null: for none.
    #[serde(default, deserialize_with = "object")]
    recharge: Option<Option<NewRecharge>>,
}

/// What is to be asked of the billing system.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRecharge {
    /// Below this balance.
    threshold: Amount,
    /// So much, more than nothing.
    amount: Amount,
}

/// Says what is to happen when an owner's credits run out.
#[utoipa::path(
    patch,
    operation_id = "changeCreditPolicy",
    path = "/admin/v1/owners/{id}/credits",
    params(("id" = String, Path, description = "The owner's id."), IfMatch),
    request_body = PolicyBody,
    responses((status = 200, body = Credits))
)]
pub(super) async fn change(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
    unless: IfMatch,
    Body(policy): Body<PolicyBody>,
) -> Answer<Response> {
    let (loaded, asker) = (state.loaded(), caller.asker());
    let owner = find(&state, &id).await?;
    if unless.is_given() {
        let credits = state.store.credits(&owner.id).await?;
        unless.check(&credits.ok_or_else(ApiError::precondition_failed)?)?;
    }
    let recharge =
        |it: NewRecharge| store::Recharge { threshold: it.threshold.0, amount: it.amount.0 };
    let policy = CreditPolicy {
        low_threshold: policy.low_threshold.map(|low| low.map(|amount| amount.0)),
        recharge: policy.recharge.map(|it| it.map(recharge)),
    };
    if policy == CreditPolicy::default() {
        return Err(ApiError::bad_request("give low_threshold or recharge"));
    }
    tagged(&state.mint(&loaded, &asker).set_credit_policy(&owner.id, &policy).await?)
}
