//! Putting the configuration file in force again.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::settings;
use crate::admin::dashboard::{Editor, PageError, page};
use crate::admin::{AdminState, NotReloaded};
use crate::config::Problem;

pub(super) async fn reload(
    State(state): State<AdminState>,
    Editor(caller): Editor,
) -> Result<Response, PageError> {
    let reloaded = state.reload(&caller).await?;
    let mut shown = settings(&state, &caller).await?;
    let problems = match reloaded {
        Ok(_) => {
            shown.done = Some("The configuration was read again and is in force here.".to_owned());
            return Ok(page(&shown));
        }
        Err(NotReloaded::Problems(problems)) => problems.iter().map(told).collect(),
        Err(NotReloaded::Other(why)) => vec![why],
    };
    shown.problems = Some(problems);
    Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&shown)).into_response())
}

fn told(problem: &Problem) -> String {
    match &problem.hint {
        Some(hint) => format!("{problem}. {hint}"),
        None => problem.to_string(),
    }
}
