//! `/admin/v1/audit`: who changed what, when, from where.

use serde::Deserialize;

use super::{AdminState, Answer, Asked, Json, List, Paging, State, ToSchema, since};
use crate::admin::access::Viewer;
use crate::domain::AuditRow;
use crate::store::AuditFilter;

/// One change.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is an `AuditRow`")]
pub(super) struct Change {
    /// `aud_…`.
    id: String,
    #[schema(format = DateTime)]
    at: String,
    /// Who: `keygate`, `setup`, `command:USER`, `key:ID`, `token:ID`.
    actor: String,
    /// What: `key.create`, `key.update`, ….
    action: String,
    /// The id of what was changed.
    target: String,
    /// From where, where that was over the network.
    #[schema(required = true)]
    address: Option<String>,
    /// What of it was so before, and is not any more.
    #[schema(required = true)]
    before: Option<serde_json::Value>,
    /// What of it is so now.
    #[schema(required = true)]
    after: Option<serde_json::Value>,
    /// Why, where that was said.
    #[schema(required = true)]
    reason: Option<String>,
}

/// Which changes are listed: all that every given field says.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// Not before: a length of time like `7d`, or a moment.
    #[param(example = "7d")]
    since: Option<String>,
    /// By this actor, as rows have it.
    #[param(example = "token:adm_01k9zt3e8hqk7v5m2x4c6b8n0p")]
    actor: Option<String>,
    /// Of what has this id.
    target: Option<String>,
    /// Of this kind.
    #[param(example = "key.create")]
    action: Option<String>,
    /// Rows at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists changes, newest first.
#[utoipa::path(
    get,
    operation_id = "listAudit",
    path = "/admin/v1/audit",
    params(Wanted),
    responses((status = 200, body = List<Change>))
)]
pub(super) async fn list(
    _: Viewer,
    State(state): State<AdminState>,
    Asked(Wanted { since: from, actor, target, action, limit, cursor }): Asked<Wanted>,
) -> Answer<Json<List<AuditRow>>> {
    let request = Paging { limit, cursor }.request()?;
    let since = from.as_deref().map(|text| since(text, state.now())).transpose()?;
    let filter = AuditFilter { since, actor, target, action };
    let page = state.store.audit(&filter, &request).await?;
    Ok(Json(List { data: page.rows, next_cursor: page.next_cursor }))
}
