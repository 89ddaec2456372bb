//! `/keys/new`: making a key.

use askama::Template;
use axum::extract::State;
use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::form::{End, KeyForm, Typed, Wrong, blame, read};
use super::once::{self, Turn};
use super::same::Same;
use super::secret;
use crate::admin::AdminState;
use crate::admin::access::Caller;
use crate::admin::dashboard::{Editor, Fields, Frame, PageError, Section, page};
use crate::auth::mint::{Grants, NewKey};
use crate::domain::KeyId;

#[derive(Template)]
#[template(path = "keys/new.html")]
struct New {
    frame: Frame,
    form: KeyForm,
    same: Same,
    once: String,
}

#[derive(Template)]
#[template(path = "keys/again.html")]
struct Again {
    frame: Frame,
    /// What came of the form the first time; `None`: nobody knows.
    key: Option<KeyId>,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    headers: HeaderMap,
    asked: Fields,
) -> Result<Response, PageError> {
    let fields = filled(&state, asked).await?;
    form(&state, &caller, &headers, fields, Wrong::new()).await
}

pub(super) async fn create(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    let typed = match read(&fields, state.now()) {
        Ok(typed) => typed,
        Err(wrong) => return form(&state, &caller, &headers, fields, wrong).await,
    };
    let claim = match once::turn(&state, &caller, &fields, "create a key").await? {
        Turn::First(claim) => claim,
        Turn::Made(key) => return Ok(again(&caller, Some(key))),
        Turn::Unknown => return Ok(again(&caller, None)),
        Turn::Stale => {
            let why = "This form has lain too long. Look it over and send it again.";
            let wrong = Wrong::from([("", why.to_owned())]);
            return form(&state, &caller, &headers, fields, wrong).await;
        }
    };
    let (loaded, asker) = (state.loaded(), caller.asker());
    match state.mint(&loaded, &asker).create(new_key(typed)).await {
        Ok((held, minted)) => {
            once::made(&state, &claim, &held.key.id).await;
            secret::shown(&state, &caller, &headers, &held, &minted).await
        }
        Err(error) => match blame(&error) {
            Some(wrong) => {
                once::not_made(&state, &claim).await;
                form(&state, &caller, &headers, fields, wrong).await
            }
            // It may have been made all the same.
            None => Err(error.into()),
        },
    }
}

/// What became of a form that was sent before.
pub(super) fn again(caller: &Caller, key: Option<KeyId>) -> Response {
    let frame = Frame::new("Sent before", Section::Keys, caller);
    (StatusCode::CONFLICT, page(&Again { frame, key })).into_response()
}

fn new_key(typed: Typed) -> NewKey {
    let has_parent = typed.parent.is_some();
    NewKey {
        name: typed.name,
        parent: typed.parent,
        owner: typed.owner,
        environment: Some(typed.environment),
        grants: (typed.grants != Grants::default()).then_some(typed.grants),
        limits: given(typed.limits),
        allowed_ips: given(typed.allowed_ips),
        expires_at: match typed.expires {
            End::At(at) => Some(Some(at)),
            End::Kept if has_parent => None,
            End::Kept | End::Never => Some(None),
        },
        monthly_budget: typed.monthly_budget,
        metadata: typed.metadata,
        rotation_interval_days: typed.rotation_interval_days,
    }
}

/// A list, if there is anything in it.
fn given<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The form as it is begun: with what the address says, and what a key above asks for.
async fn filled(state: &AdminState, mut asked: Fields) -> Result<Fields, PageError> {
    let parent = match asked.given("parent") {
        Some(parent) => state.store.load_key(&KeyId::from_text(parent)).await?,
        None => None,
    };
    let mut begin = |name: &str, value: String| {
        if !asked.0.iter().any(|(known, _)| known == name) {
            asked.0.push((name.to_owned(), value));
        }
    };
    if let Some(parent) = parent {
        begin("environment", parent.key.key.environment.to_string());
        begin("owner", parent.owner.name);
        begin("expires", String::new());
    } else {
        begin("environment", "live".to_owned());
        begin("expires", "90d".to_owned());
    }
    Ok(asked)
}

async fn form(
    state: &AdminState,
    caller: &Caller,
    headers: &HeaderMap,
    fields: Fields,
    wrong: Wrong,
) -> Result<Response, PageError> {
    let now = state.now();
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if state.loaded().config.admin.tls.is_some() { "https" } else { "http" };
    let same = Same::new(&fields, &format!("{scheme}://{host}"));
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = Frame::new("Create a key", Section::Keys, caller);
    let once = once::name(now)?;
    let form = KeyForm::new(state, fields, wrong).await?;
    Ok((status, page(&New { frame, form, same, once })).into_response())
}
