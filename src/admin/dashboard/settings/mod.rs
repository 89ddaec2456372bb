//! Settings: the configuration in force, who may come in, and which instances run.

mod reload;
mod rows;
mod sessions;
mod tokens;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};

use self::rows::{InstanceRow, SessionRow, TokenRow};
use super::{Fields, Frame, PageError, Section, page};
use crate::admin::AdminState;
use crate::admin::access::{Caller, SignedIn};
use crate::config::Problem;
use crate::domain::Role;
use crate::store::PageRequest;

/// Tokens and sessions that are shown; there are hardly ever so many.
const MOST: u32 = 200;

pub(super) fn router() -> Router<AdminState> {
    Router::new()
        .route("/settings", get(show))
        .route("/settings/reload", post(reload::reload))
        .route("/settings/tokens", post(tokens::create))
        .route("/settings/tokens/{id}/revoke", post(tokens::revoke))
        .route("/settings/sessions/{id}/end", post(sessions::end))
}

#[derive(Template)]
#[template(path = "settings.html")]
struct Settings {
    frame: Frame,
    /// Where the configuration was read.
    file: String,
    configuration: String,
    hash: String,
    warnings: Vec<Problem>,
    instances: Vec<InstanceRow>,
    tokens: Vec<TokenRow>,
    sessions: Vec<SessionRow>,
    /// What was just done.
    done: Option<String>,
    /// What is wrong with the file that was to be put in force.
    problems: Option<Vec<String>>,
    /// A token that was just made: what it is called, and itself. Shown this once.
    made: Option<(String, String)>,
    /// What was typed as its name, and why none was made.
    name: String,
    wrong: Option<String>,
}

async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    asked: Fields,
) -> Result<Response, PageError> {
    let mut shown = settings(&state, &caller).await?;
    shown.done = match asked.text("done") {
        "token" => Some("The token is revoked, and the sessions that it began have ended."),
        "session" => Some("The session has ended."),
        _ => None,
    }
    .map(str::to_owned);
    Ok(page(&shown))
}

async fn settings(state: &AdminState, caller: &Caller) -> Result<Settings, PageError> {
    let (loaded, now) = (state.loaded(), state.now());
    let hash = loaded.hash();
    let newest = PageRequest { after: None, limit: MOST };
    let own = state.live.instance();
    let instances = state.store.instances().await?;
    let tokens = state.store.tokens(&newest).await?.rows;
    let sessions = state.store.sessions(now, &newest).await?.rows;
    Ok(Settings {
        frame: Frame::new("Settings", Section::Settings, caller),
        file: loaded.file.display().to_string(),
        configuration: loaded.show_toml(),
        warnings: loaded.warnings.clone(),
        instances: instances.iter().map(|it| InstanceRow::new(it, &own, &hash, now)).collect(),
        tokens: tokens.iter().map(|token| TokenRow::new(token, caller, now)).collect(),
        sessions: sessions.iter().map(|it| SessionRow::new(it, caller, now)).collect(),
        hash,
        done: None,
        problems: None,
        made: None,
        name: String::new(),
        wrong: None,
    })
}
