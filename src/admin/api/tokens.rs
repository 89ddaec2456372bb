//! `/admin/v1/tokens`: who may come in here.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    AdminState, Answer, ApiError, Asked, Body, Id, IntoResponse, Json, List, Paging, Reason,
    Response, State, StatusCode, ToSchema, end,
};
use crate::admin::access::token::TokenView;
use crate::admin::access::{Administrator, Viewer};
use crate::domain::{self, AdminTokenId};

/// A credential for this API and the dashboard. The token itself is in no answer but that which made
/// it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `TokenView`")]
pub(super) struct Token {
    /// `adm_…`.
    id: String,
    name: String,
    role: Role,
    status: TokenStatus,
    /// Its beginning, for people.
    hint: String,
    #[schema(format = DateTime)]
    created_at: String,
    /// When it stops by itself; null: never.
    #[schema(required = true, format = DateTime)]
    expires_at: Option<String>,
    /// To the minute.
    #[schema(required = true, format = DateTime)]
    last_used_at: Option<String>,
}

/// `admin` changes everything, `viewer` looks at everything.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
pub(super) enum Role {
    Admin,
    Viewer,
}

/// How a token stands.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "only described")]
enum TokenStatus {
    Active,
    Expired,
    Revoked,
}

/// Lists admin tokens, newest first.
#[utoipa::path(
    get,
    operation_id = "listTokens",
    path = "/admin/v1/tokens",
    params(Paging),
    responses((status = 200, body = List<Token>))
)]
pub(super) async fn list(
    _: Viewer,
    State(state): State<AdminState>,
    Asked(paging): Asked<Paging>,
) -> Answer<Json<List<TokenView>>> {
    let page = state.store.tokens(&paging.request()?).await?;
    let now = state.now();
    let data = page.rows.into_iter().map(|token| TokenView::new(token, now)).collect();
    Ok(Json(List { data, next_cursor: page.next_cursor }))
}

/// A token to be made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    /// Who or what it is for.
    #[schema(min_length = 1, max_length = 100, example = "deploy pipeline")]
    name: String,
    #[schema(value_type = Role)]
    role: String,
    /// When it stops by itself; else never.
    #[schema(format = DateTime, example = "2030-01-31T00:00:00Z")]
    expires_at: Option<Timestamp>,
    /// The same in other words: `90d` from now, `never`, or a day like `2030-01-31`.
    #[schema(example = "90d")]
    expires: Option<String>,
}

/// A token, which is shown this once.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described")]
pub(super) struct TokenWithText {
    #[serde(flatten)]
    view: Token,
    /// What is sent as `Authorization: Bearer`. Nobody can be told it again.
    token: String,
}

#[derive(Serialize)]
struct WithText<'a> {
    #[serde(flatten)]
    view: TokenView,
    token: &'a str,
}

/// Makes an admin token. It is in the answer, and nowhere else ever.
#[utoipa::path(
    post,
    operation_id = "createToken",
    path = "/admin/v1/tokens",
    request_body = NewToken,
    responses((status = 201, body = TokenWithText))
)]
pub(super) async fn create(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Body(new): Body<NewToken>,
) -> Answer<Response> {
    let now = state.now();
    let wrong = |()| ApiError::bad_request("role is admin or viewer");
    let role: domain::Role = new.role.parse().map_err(wrong)?;
    let expires_at = end(new.expires_at.map(Some), new.expires, now)?.flatten();
    if expires_at.is_some_and(|end| end <= now) {
        return Err(ApiError::bad_request("the token would have ended already"));
    }
    let (token, minted) = state.mint_token(new.name, role, expires_at).await?;
    state.store.create_token(&state.act(&caller), &token).await?;
    let view = TokenView::new(token, now);
    let shown = WithText { view, token: minted.text.expose() };
    Ok((StatusCode::CREATED, Json(shown)).into_response())
}

/// Ends a token for good, at once, and every session that was begun with it. One that has ended before
/// stays so.
#[utoipa::path(
    post,
    operation_id = "revokeToken",
    path = "/admin/v1/tokens/{id}/revoke",
    params(("id" = String, Path, description = "The token's id.")),
    responses((status = 200, body = Token))
)]
pub(super) async fn revoke(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
) -> Answer<Json<TokenView>> {
    let id = AdminTokenId::from_text(id);
    state.store.revoke_token(&state.act(&caller), &id).await?;
    let token = state.store.token(&id).await?.ok_or_else(|| ApiError::from(Reason::NotFound))?;
    Ok(Json(TokenView::new(token, state.now())))
}
