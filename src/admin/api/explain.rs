//! `/admin/v1/explain`: what became of a refused request, or would become of another one.

use std::net::{IpAddr, Ipv4Addr};

use axum::http::Method;
use serde::Deserialize;

use super::{AdminState, Answer, ApiError, Asked, Body, Error, Json, State, ToSchema};
use crate::admin::RefusalFilter;
use crate::admin::access::Viewer;
use crate::domain::{Explanation, KeyId, Reason, RefusedRequest};
use crate::key::SecretText;
use crate::proxy::explain::{Credential, ExplainError, Question, Sources, explain_by};

const NO_KEY: &str = "There is no such key with a secret";

/// The longest method.
const LONGEST_METHOD: usize = 32;
/// The longest path, in characters: no head is longer.
const LONGEST_PATH: usize = 32_768;

/// Which request.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    /// Its `X-Request-Id`.
    request: String,
}

/// Every check of a request that this instance refused lately.
#[utoipa::path(
    get,
    operation_id = "explainRefusal",
    path = "/admin/v1/explain",
    params(Which),
    responses(
        (status = 200, body = Refused),
        (status = 404, body = Error, description = "This instance holds no such refusal."),
    )
)]
pub(super) async fn of_request(
    _: Viewer,
    State(state): State<AdminState>,
    Asked(Which { request }): Asked<Which>,
) -> Answer<Json<RefusedRequest>> {
    let filter = RefusalFilter { request_id: Some(request), ..RefusalFilter::default() };
    let refused = state.live.refusals(&filter, 1).pop();
    refused.map(Json).ok_or_else(|| {
        let kept = state.loaded().config.admin.keep_refusals;
        ApiError::not_found(format!(
            "This instance ({}) holds no refusal of a request with that id: it was let through, \
             another instance refused it, or it was too long ago (the last {kept} are held)",
            state.live.instance()
        ))
    })
}

/// A request that was not made.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    /// As in `GET`.
    #[schema(pattern = "^[A-Z]{1,32}$")]
    method: String,
    /// With its query, if it has one.
    #[schema(max_length = 32768)]
    path: String,
    /// As if it came with a good secret of this key.
    key_id: Option<String>,
    /// As if it came with this secret.
    key: Option<String>,
    /// The client's address, IPv4 or IPv6; else 127.0.0.1.
    #[schema(value_type = Option<String>, format = Ipv4)]
    ip: Option<IpAddr>,
}

/// What would become of a request, by what this instance knows; consumes nothing and sends nothing.
#[utoipa::path(
    post,
    operation_id = "explainRequest",
    path = "/admin/v1/explain",
    request_body = Wanted,
    security(("admin_token" = ["viewer"])),
    responses(
        (status = 200, body = Explained),
        (status = 404, body = Error, description = "There is no such key, or it never had a secret."),
    )
)]
pub(super) async fn of_wanted(
    _: Viewer,
    State(state): State<AdminState>,
    Body(wanted): Body<Wanted>,
) -> Answer<Json<Explanation>> {
    let question = question(wanted)?;
    let plan = state.live.plan();
    let standings = |key: &KeyId, route: &_| state.live.standings(key, route);
    let sources =
        Sources { plan: &plan, store: &*state.store, clock: &state.clock, standings: &standings };
    Ok(Json(explain_by(sources, question).await?))
}

fn question(wanted: Wanted) -> Answer<Question> {
    let Wanted { method, path, key_id, key, ip } = wanted;
    let is_method = method.bytes().all(|byte| byte.is_ascii_uppercase());
    let method = Method::from_bytes(method.as_bytes()).ok();
    let method = method.filter(|it| is_method && it.as_str().len() <= LONGEST_METHOD);
    let method = method.ok_or_else(|| ApiError::bad_request("method is no method, like GET"))?;
    if path.chars().count() > LONGEST_PATH {
        return Err(ApiError::bad_request(format!("path has at most {LONGEST_PATH} characters")));
    }
    let credential = match (key_id, key) {
        (None, None) => Credential::None,
        (Some(id), None) => Credential::Key(KeyId::from_text(may_be_id(id)?)),
        (None, Some(secret)) => Credential::Secret(SecretText::new(secret)),
        (Some(_), Some(_)) => {
            return Err(ApiError::bad_request("key_id and key cannot be given together"));
        }
    };
    Ok(Question { method, path, credential, client: ip.unwrap_or(Ipv4Addr::LOCALHOST.into()) })
}

/// What can be no id is that of nothing.
fn may_be_id(text: String) -> Answer<String> {
    let is_one = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if is_one { Ok(text) } else { Err(ApiError::not_found(NO_KEY)) }
}

impl From<ExplainError> for ApiError {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Store(error) => error.into(),
            ExplainError::NoKey(_) => Self::not_found(NO_KEY),
            ExplainError::Hash(_) | ExplainError::Broken(_) | ExplainError::Plan(_) => {
                tracing::error!(%error, "a request could not be explained");
                Self::from(Reason::InternalError)
            }
        }
    }
}

/// A request taken through every check.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is an `Explanation`")]
pub(super) struct Explained {
    /// As asked.
    method: String,
    /// As asked, with whatever has the form of a secret masked.
    path: String,
    /// The path of the route that matches.
    route: Option<String>,
    /// Every check that was made, in order; the last one refused, or all passed.
    checks: Vec<CheckMade>,
    /// How it ends.
    answer: Ending,
}

/// How one check came out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `Check`")]
struct CheckMade {
    /// `route`, `credential`, `verify`, ….
    step: String,
    /// `passed`, `refused` or `skipped`.
    outcome: String,
    /// With which numbers and names; never a part of a secret.
    detail: String,
}

/// What the client gets.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is an `Answer`")]
struct Ending {
    /// Of a refusal; null: the upstream answers.
    status: Option<u16>,
    /// In the log's word.
    reason: Option<String>,
    /// The answer's `code`.
    code: Option<String>,
    /// The answer's `message`; of a forwarded request, where it would go.
    message: String,
}

/// A refused request with every check's outcome at that moment.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: what is sent is a `RefusedRequest`")]
pub(super) struct Refused {
    /// As the client was told it.
    request_id: String,
    /// When it came.
    #[schema(format = DateTime)]
    at: String,
    /// From where.
    client: String,
    /// Why it was refused.
    reason: String,
    /// What it was answered with.
    status: u16,
    /// Whose key it came with, where that is known.
    key_id: Option<String>,
    /// What people call that key.
    key_name: Option<String>,
    /// The key's owner.
    owner_id: Option<String>,
    /// `-`: its head was not read.
    method: String,
    /// With whatever has the form of a secret masked; `-`: its head was not read.
    path: String,
    /// The path of the route that matched.
    route: Option<String>,
    /// Every check that was made, in order; the last one refused.
    checks: Vec<CheckMade>,
    /// What the client got.
    answer: Ending,
}
