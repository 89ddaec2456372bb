//! The box that explains a request: what was typed, which key was meant, and what would become of it.

use std::net::IpAddr;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::routes;
use crate::admin::AdminState;
use crate::admin::access::{Caller, SignedIn};
use crate::admin::dashboard::words::page_from;
use crate::admin::dashboard::{Fields, PageError, page};
use crate::admin::error::ApiError;
use crate::domain::{Explanation, KeyId, KeyWithSecrets};
use crate::key::SecretText;
use crate::proxy::explain::{Credential, Question, Sources, explain_by};
use crate::store::KeyFilter;

/// Keys that are offered where several may have been meant.
const CANDIDATES: u32 = 10;

/// What was typed, but for a secret, which is never shown again.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) key: String,
    pub(super) client: String,
}

/// A key that may have been meant.
pub(super) struct Candidate {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) hint: String,
}

/// What was typed, understood.
enum Meant {
    Question(Question),
    OneOf(Vec<Candidate>),
    Nothing(String),
}

pub(super) async fn explain(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    sent: Fields,
) -> Result<Response, PageError> {
    let meant = understand(&state, &sent).await?;
    let mut shown = routes(&state, &caller, Asked::of(&sent, &state));
    let status = match meant {
        Meant::Question(question) => match answer(&state, question).await {
            Ok(explanation) => {
                shown.explanation = Some(explanation);
                StatusCode::OK
            }
            Err(error) if error.status.is_client_error() => {
                shown.wrong = Some(error.message);
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Err(error) => return Err(error.into()),
        },
        Meant::OneOf(candidates) => {
            shown.candidates = candidates;
            StatusCode::OK
        }
        Meant::Nothing(why) => {
            shown.wrong = Some(why);
            StatusCode::UNPROCESSABLE_ENTITY
        }
    };
    Ok((status, page(&shown)).into_response())
}

/// By what this instance knows.
async fn answer(state: &AdminState, question: Question) -> Result<Explanation, ApiError> {
    let plan = state.live.plan();
    let standings = |key: &KeyId, route: &_| state.live.standings(key, route);
    let sources =
        Sources { plan: &plan, store: &*state.store, clock: &state.clock, standings: &standings };
    Ok(explain_by(sources, question).await?)
}

async fn understand(state: &AdminState, sent: &Fields) -> Result<Meant, PageError> {
    let Ok(method) = sent.text("method").parse::<Method>() else {
        return Ok(Meant::Nothing("The method is one word, like GET.".to_owned()));
    };
    let Ok(client) = sent.text("client").parse::<IpAddr>() else {
        let why = "The address is one of IPv4 or IPv6, like 203.0.113.7.";
        return Ok(Meant::Nothing(why.to_owned()));
    };
    let path = sent.text("path").to_owned();
    let question = |credential| Meant::Question(Question { method, path, credential, client });
    if let Some(secret) = sent.given("secret") {
        return Ok(question(Credential::Secret(SecretText::new(secret.to_owned()))));
    }
    let Some(key) = sent.given("chosen").or(sent.given("key")) else {
        return Ok(question(Credential::None));
    };
    if is_secret(key, state) {
        return Ok(question(Credential::Secret(SecretText::new(key.to_owned()))));
    }
    if key.starts_with("key_") {
        return Ok(question(Credential::Key(KeyId::from_text(key))));
    }
    let mut candidates = named(state, key).await?;
    Ok(match candidates.len() {
        0 => Meant::Nothing("No key has that name or id. The page of keys lists all.".to_owned()),
        1 => question(Credential::Key(KeyId::from_text(candidates.remove(0).id))),
        _ => Meant::OneOf(candidates),
    })
}

/// Whether a text in the field for a name is, or was to be, a secret.
fn is_secret(text: &str, state: &AdminState) -> bool {
    let loaded = state.loaded();
    let format = &loaded.config.keys.format;
    let mut found = false;
    format.find_in(text, |_| found = true);
    let mut prefixes =
        std::iter::once(format.live_prefix.as_str()).chain(format.test_prefix.as_deref());
    found || prefixes.any(|prefix| !prefix.is_empty() && text.starts_with(prefix))
}

/// Keys that are known by that text; one that is called exactly so is it alone.
async fn named(state: &AdminState, text: &str) -> Result<Vec<Candidate>, PageError> {
    let filter = KeyFilter { search: Some(text.to_owned()), ..KeyFilter::default() };
    let mut keys = state.store.keys(&filter, &page_from(None, CANDIDATES)).await?.rows;
    if keys.iter().filter(|key| key.key.name == text).count() == 1 {
        keys.retain(|key| key.key.name == text);
    }
    Ok(keys.into_iter().map(Candidate::of).collect())
}

impl Candidate {
    fn of(held: KeyWithSecrets) -> Self {
        Self {
            hint: held.newest_secret().map(|secret| secret.hint.clone()).unwrap_or_default(),
            id: held.key.id.to_string(),
            name: held.key.name,
        }
    }
}

impl Asked {
    /// Nothing typed yet: by default from where the caller is.
    pub(super) fn from_here(caller: &Caller) -> Self {
        Self {
            method: "GET".to_owned(),
            path: "/".to_owned(),
            key: String::new(),
            client: caller.address.to_string(),
        }
    }

    fn of(sent: &Fields, state: &AdminState) -> Self {
        let key = sent.given("chosen").unwrap_or(sent.text("key"));
        Self {
            method: sent.text("method").to_owned(),
            path: sent.text("path").to_owned(),
            key: if is_secret(key, state) { String::new() } else { key.to_owned() },
            client: sent.text("client").to_owned(),
        }
    }
}
