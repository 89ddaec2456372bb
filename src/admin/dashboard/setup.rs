//! Making the first token, by who has the address that `serve` printed.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::http::request::Parts;
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde::Deserialize;

use super::{PageError, page};
use crate::admin::AdminState;
use crate::admin::access::{Caller, Peer, session};
use crate::auth::mint::MintError;
use crate::domain::{Act, Actor, Role};

/// Where there is nothing to set up.
const CLOSED: &str = "There is nothing to set up here, or not any more: the address that keygate prints \
    when it starts without any admin token is good for 15 minutes, and once. Start keygate again for \
    another one, or mint a token with `keygate admin-token create --name NAME`.";
const WRONG: &str = "That is not the code that keygate printed when it started.";
const TAKEN: &str = "Somebody else has made an admin token meanwhile. Sign in with it, or have them make \
    one for you.";

#[derive(Template)]
#[template(path = "setup.html")]
struct Setup<'a> {
    /// What was wrong with the last try.
    wrong: Option<&'a str>,
    /// As they were typed.
    name: &'a str,
    code: &'a str,
}

#[derive(Template)]
#[template(path = "first_token.html")]
struct FirstToken<'a> {
    name: &'a str,
    token: &'a str,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Wanted {
    code: String,
    name: String,
}

pub(super) async fn show(State(state): State<AdminState>) -> Response {
    if !state.door.offers_setup() {
        return closed();
    }
    page(&Setup { wrong: None, name: "", code: "" })
}

pub(super) async fn make(
    State(state): State<AdminState>,
    parts: Parts,
    form: Result<Form<Wanted>, FormRejection>,
) -> Result<Response, PageError> {
    let Ok(Form(Wanted { code, name })) = form else {
        let message = "The form has the fields `code` and `name`.";
        return Err(PageError::new(StatusCode::BAD_REQUEST, message));
    };
    if !state.door.offers_setup() {
        return Ok(closed());
    }
    let code = code.trim();
    if !state.door.is_setup_code(code, &state.knock(Peer::of(&parts))).await? {
        return Ok(again(StatusCode::FORBIDDEN, WRONG, &name, ""));
    }
    let (token, minted) = match state.mint_token(name.clone(), Role::Admin, None).await {
        Ok(minted) => minted,
        Err(error @ MintError::Invalid { .. }) => {
            return Ok(again(StatusCode::BAD_REQUEST, &error.to_string(), &name, code));
        }
        Err(error) => return Err(error.into()),
    };
    let act = Act { actor: Actor::Setup, address: Some(Peer::of(&parts)), at: state.now() };
    let is_first = state.store.create_first_token(&act, &token).await?;
    state.door.close_setup();
    if !is_first {
        return Err(PageError::new(StatusCode::CONFLICT, TAKEN));
    }
    let caller = Caller { token, session: None, address: Peer::of(&parts) };
    let cookie = session::begin(&state, &parts, &state.act(&caller), &caller.token).await;
    let shown = page(&FirstToken { name: &caller.token.name, token: minted.text.expose() });
    Ok(match cookie {
        Ok(cookie) => (AppendHeaders([(SET_COOKIE, cookie)]), shown).into_response(),
        // The token is made and shown only now: who has it can sign in later.
        Err(_) => shown,
    })
}

fn again(status: StatusCode, wrong: &str, name: &str, code: &str) -> Response {
    (status, page(&Setup { wrong: Some(wrong), name, code })).into_response()
}

fn closed() -> Response {
    PageError::new(StatusCode::NOT_FOUND, CLOSED).into_response()
}
