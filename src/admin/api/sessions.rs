//! `/admin/v1/sessions`: who is signed in to the dashboard.

use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::{AdminState, Answer, Asked, Id, Json, List, Paging, Reason, State, ToSchema, tokens};
use crate::admin::access::{Administrator, Viewer};
use crate::domain::{self, AdminSession, AdminToken, AdminTokenId, SessionId};

/// A browser that is signed in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `View`")]
pub(super) struct Session {
    /// `ses_…`; not what the browser shows.
    id: String,
    /// The token that it was begun with, and ends with.
    token_id: String,
    token_name: String,
    role: tokens::Role,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    expires_at: String,
    /// To the minute.
    #[schema(format = DateTime)]
    last_used_at: String,
    /// From where it was begun.
    address: String,
    /// What the browser called itself.
    agent: String,
}

#[derive(Debug, Serialize)]
pub(super) struct View {
    id: SessionId,
    token_id: AdminTokenId,
    token_name: String,
    role: domain::Role,
    created_at: Timestamp,
    expires_at: Timestamp,
    last_used_at: Timestamp,
    address: IpAddr,
    agent: String,
}

impl View {
    fn new((session, token): (AdminSession, AdminToken)) -> Self {
        Self {
            id: session.id,
            token_id: token.id,
            token_name: token.name,
            role: token.role,
            created_at: session.created_at,
            expires_at: session.expires_at,
            last_used_at: session.last_used_at,
            address: session.address,
            agent: session.agent,
        }
    }
}

/// Lists the sessions that have not ended, newest first.
#[utoipa::path(
    get,
    operation_id = "listSessions",
    path = "/admin/v1/sessions",
    params(Paging),
    responses((status = 200, body = List<Session>))
)]
pub(super) async fn list(
    _: Viewer,
    State(state): State<AdminState>,
    Asked(paging): Asked<Paging>,
) -> Answer<Json<List<View>>> {
    let page = state.store.sessions(state.now(), &paging.request()?).await?;
    let data = page.rows.into_iter().map(View::new).collect();
    Ok(Json(List { data, next_cursor: page.next_cursor }))
}

/// A session that has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EndedSession {
    /// Its id.
    #[schema(value_type = String)]
    id: SessionId,
}

/// Signs a browser out, at once.
#[utoipa::path(
    post,
    operation_id = "endSession",
    path = "/admin/v1/sessions/{id}/end",
    params(("id" = String, Path, description = "The session's id.")),
    responses((status = 200, body = EndedSession))
)]
pub(super) async fn end(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
) -> Answer<Json<EndedSession>> {
    let id = SessionId::from_text(id);
    if !state.store.end_session(&state.act(&caller), &id).await? {
        return Err(Reason::NotFound.into());
    }
    Ok(Json(EndedSession { id }))
}
