//! `GET /admin/v1/refusals`: the last requests that this instance refused, each explained.

use serde::Deserialize;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

use super::explain::Refused;
use super::{AdminState, Answer, ApiError, Asked, Json, List, State};
use crate::admin::RefusalFilter;
use crate::admin::access::Viewer;
use crate::domain::{KeyId, Reason, RefusedRequest};

/// Rows where nothing is said.
const ROWS: u32 = 50;

/// Which refusals are listed: all that every given field says.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// For this reason, as the log has it: `rate_limited`.
    #[param(required = false, schema_with = reasons)]
    reason: Option<String>,
    /// Of this key.
    key: Option<String>,
    /// Of this request.
    request_id: Option<String>,
    /// Rows at most.
    #[param(minimum = 1, maximum = 1000, default = 50)]
    limit: Option<u32>,
}

fn reasons() -> Object {
    let names = Reason::ALL.iter().map(|reason| reason.name());
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names)).build()
}

/// The last requests that this instance refused, newest first, with every check's outcome. How many
/// are held is `admin.keep_refusals`; other instances hold their own.
#[utoipa::path(
    get,
    operation_id = "listRefusals",
    path = "/admin/v1/refusals",
    params(Which),
    responses(
        (status = 200, body = List<Refused>),
    )
)]
pub(super) async fn list(
    _: Viewer,
    State(state): State<AdminState>,
    Asked(Which { reason, key, request_id, limit }): Asked<Which>,
) -> Answer<Json<List<RefusedRequest>>> {
    let limit = limit.unwrap_or(ROWS);
    if !(1..=1000).contains(&limit) {
        return Err(ApiError::bad_request("limit is 1 to 1000"));
    }
    let known = |name: String| {
        let names = || Reason::ALL.iter().map(|reason| reason.name()).collect::<Vec<_>>();
        let unknown = || format!("there is no such reason; they are {}", names().join(", "));
        Reason::from_name(&name).ok_or_else(|| ApiError::bad_request(unknown()))
    };
    let reason = reason.map(known).transpose()?;
    let filter = RefusalFilter { reason, key: key.map(KeyId::from_text), request_id };
    Ok(Json(List { data: state.live.refusals(&filter, limit as usize), next_cursor: None }))
}
