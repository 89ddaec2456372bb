//! `/admin/v1/config`: the configuration in force, a look at another one, and a reload.

use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{AdminState, Answer, ApiError, Body, Error, Json, Serialize, State, ToSchema};
use crate::admin::NotReloaded;
use crate::admin::access::{Administrator, Viewer};
use crate::config::{self, Problem};

/// The configuration in force: file, environment and defaults, secrets masked.
#[utoipa::path(
    get,
    operation_id = "showConfig",
    path = "/admin/v1/config",
    responses(
        (status = 200, body = Shown),
    )
)]
pub(super) async fn show(_: Viewer, State(state): State<AdminState>) -> Json<Shown> {
    let loaded = state.loaded();
    let file = loaded.file.display().to_string();
    Json(Shown { file, hash: loaded.hash(), config: loaded.show_json() })
}

/// A configuration, masked.
#[derive(Serialize, ToSchema)]
pub(super) struct Shown {
    /// Where it was read.
    file: String,
    /// Equal for instances that show the same.
    hash: String,
    /// Every setting that has a value.
    #[schema(value_type = Object)]
    config: Value,
}

/// A configuration's text.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Text {
    /// As in `keygate.toml`.
    toml: String,
}

/// Says everything that is wrong with a configuration's text. Nothing of this process goes into it: no
/// `${NAME}` is filled in, no variable overrides it, and no file is read that it names.
#[utoipa::path(
    post,
    operation_id = "checkConfig",
    path = "/admin/v1/config/check",
    request_body = Text,
    security(("admin_token" = ["viewer"])),
    responses(
        (status = 200, body = Checked, description = "Looked at, whatever was found."),
    )
)]
pub(super) async fn check(_: Viewer, Body(Text { toml }): Body<Text>) -> Json<Checked> {
    let checked = config::check_text(&toml);
    let valid = checked.problems.is_empty();
    let complaints = |all: Vec<Problem>| all.into_iter().map(Complaint::of).collect();
    Json(Checked {
        valid,
        problems: complaints(checked.problems),
        warnings: complaints(checked.warnings),
    })
}

/// What was found.
#[derive(Serialize, ToSchema)]
pub(super) struct Checked {
    /// Whether it can be put in force, as far as it can be told from the text alone.
    valid: bool,
    /// What makes it unusable, in the order of the text.
    problems: Vec<Complaint>,
    /// What is allowed and hardly meant, or could not be looked at.
    warnings: Vec<Complaint>,
}

/// One thing to say about a configuration.
#[derive(Serialize, ToSchema)]
struct Complaint {
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    /// What is wrong.
    message: String,
    /// What to do.
    hint: Option<String>,
}

impl Complaint {
    fn of(problem: Problem) -> Self {
        let Problem { line, column, message, hint, .. } = problem;
        Self { line, column, message, hint }
    }
}

/// Reads the configuration again and puts it in force, as SIGHUP does. A bad file changes nothing.
#[utoipa::path(
    post,
    operation_id = "reloadConfig",
    path = "/admin/v1/config/reload",
    responses(
        (status = 200, body = Reloaded),
        (status = 422, body = Error, description = "What is wrong with the file is in the message."),
    )
)]
pub(super) async fn reload(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
) -> Answer<Json<Reloaded>> {
    let hash = state.reload(&caller).await??;
    Ok(Json(Reloaded { reloaded: true, hash }))
}

/// The configuration is in force.
#[derive(Serialize, ToSchema)]
pub(super) struct Reloaded {
    /// It was.
    reloaded: bool,
    /// Of what is in force now.
    hash: String,
}

impl From<NotReloaded> for ApiError {
    fn from(refused: NotReloaded) -> Self {
        let told = match refused {
            NotReloaded::Problems(problems) => {
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            }
            NotReloaded::Other(problem) => problem,
        };
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            code: "invalid_configuration",
            message: format!("The configuration was not reloaded, the old one stays: {told}"),
            retry_after: None,
        }
    }
}
