//! `/keys/bulk`: disabling or revoking several keys, after a look at what exactly would happen.
//!
//! The look is a GET and changes nothing; the form on it does what it says, and says what was done.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::family::would_end;
use crate::admin::AdminState;
use crate::admin::access::Caller;
use crate::admin::dashboard::words::{Moment, counted};
use crate::admin::dashboard::{Editor, Fields, Frame, PageError, Section, page, receipt};
use crate::auth::mint::MintError;
use crate::domain::{KeyId, KeyStatus, KeyWithSecrets};

/// Keys at once: a page of the list, and as many again.
const MOST: usize = 100;

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Disable,
    Revoke,
}

impl Deed {
    fn read(fields: &Fields) -> Result<Self, PageError> {
        match fields.text("do") {
            "disable" => Ok(Self::Disable),
            "revoke" => Ok(Self::Revoke),
            _ => Err(bad("Choose what is to be done: disable or revoke.")),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Revoke => "revoke",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Disable => "disabled",
            Self::Revoke => "revoked",
        }
    }
}

/// What would become of one key, or what has.
struct Fate {
    id: String,
    name: String,
    status: &'static str,
    last_used: Option<Moment>,
    /// Living keys under it, in words; they stop with it, or end.
    below: String,
    /// Why nothing is done to it; `None`: it is.
    spared: Option<String>,
}

#[derive(Template)]
#[template(path = "keys/bulk.html")]
struct Look {
    frame: Frame,
    deed: &'static str,
    revokes: bool,
    fates: Vec<Fate>,
    /// Keys that something is done to, in words; empty: none.
    affected: String,
    wrong: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "keys/bulk-done.html")]
struct Done {
    frame: Frame,
    deed: &'static str,
    /// How many keys were, in words.
    affected: String,
    fates: Vec<Fate>,
    receipt: receipt::Words,
}

pub(super) async fn look(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    asked: Fields,
) -> Result<Response, PageError> {
    shown(&state, &caller, &asked, None).await
}

pub(super) async fn act(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    fields: Fields,
) -> Result<Response, PageError> {
    let deed = Deed::read(&fields)?;
    if deed == Deed::Revoke && !fields.has("sure", "yes") {
        let wrong = "Tick the box first: what is revoked cannot be brought back.";
        return shown(&state, &caller, &fields, Some(wrong)).await;
    }
    let (loaded, asker) = (state.loaded(), caller.asker());
    let mint = state.mint(&loaded, &asker);
    let (mut fates, mut affected) = (Vec::new(), 0);
    for held in chosen(&state, &fields).await? {
        let mut fate = fate(&state, deed, &held).await?;
        let id = &held.key.id;
        if fate.spared.is_none() {
            let did = match deed {
                Deed::Disable => mint.set_disabled(id, true).await.map(|_| 1),
                Deed::Revoke => mint.revoke(id, fields.given("reason")).await,
            };
            match did {
                Ok(0) => fate.spared = Some("it had been revoked before".to_owned()),
                Ok(keys) => affected += keys,
                Err(MintError::Store(error)) => return Err(error.into()),
                Err(error) => fate.spared = Some(error.to_string()),
            }
        }
        fates.push(fate);
    }
    let receipt = receipt::wait(&state, Instant::now()).await;
    let frame = Frame::new(format!("Keys {}", deed.done()), Section::Keys, &caller);
    let affected = counted(affected, "key");
    Ok(page(&Done { frame, deed: deed.done(), affected, fates, receipt }))
}

async fn shown(
    state: &AdminState,
    caller: &Caller,
    asked: &Fields,
    wrong: Option<&'static str>,
) -> Result<Response, PageError> {
    let deed = Deed::read(asked)?;
    let mut fates = Vec::new();
    for held in chosen(state, asked).await? {
        fates.push(fate(state, deed, &held).await?);
    }
    let affected = fates.iter().filter(|fate| fate.spared.is_none()).count();
    let affected = if affected == 0 { String::new() } else { counted(affected as u64, "key") };
    let title = format!("{} keys?", if deed == Deed::Revoke { "Revoke" } else { "Disable" });
    let status = if wrong.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let frame = Frame::new(title, Section::Keys, caller);
    let revokes = deed == Deed::Revoke;
    let look = Look { frame, deed: deed.name(), revokes, fates, affected, wrong };
    Ok((status, page(&look)).into_response())
}

/// The keys that were ticked, in the order of the list.
async fn chosen(state: &AdminState, asked: &Fields) -> Result<Vec<KeyWithSecrets>, PageError> {
    let mut ids: Vec<KeyId> = asked.all("id").map(KeyId::from_text).collect();
    ids.sort();
    ids.dedup();
    if ids.is_empty() {
        return Err(bad("No key is selected. Go back and tick the keys that are meant."));
    }
    if ids.len() > MOST {
        return Err(bad("Too many keys at once: select at most 100."));
    }
    let mut keys: Vec<_> =
        state.store.load_keys(&ids).await?.into_iter().map(|it| it.key).collect();
    if keys.is_empty() {
        return Err(bad("None of the selected keys is there any more."));
    }
    keys.sort_by(|one, other| other.key.id.cmp(&one.key.id));
    Ok(keys)
}

async fn fate(state: &AdminState, deed: Deed, held: &KeyWithSecrets) -> Result<Fate, PageError> {
    let (key, now) = (&held.key, state.now());
    let (below, more) = would_end(state, &key.id).await?;
    let least = if more { "at least " } else { "" };
    let below = match below.len() {
        0 => String::new(),
        many => format!("{least}{}", counted(many as u64, "key")),
    };
    let spared = match (key.status(now), deed) {
        (KeyStatus::Revoked, _) => Some("it is revoked already".to_owned()),
        _ if deed == Deed::Disable && key.disabled => Some("it is disabled already".to_owned()),
        _ => None,
    };
    Ok(Fate {
        id: key.id.to_string(),
        name: key.name.clone(),
        status: key.status(now).name(),
        last_used: Moment::of(held.last_used_at(), now),
        below,
        spared,
    })
}

fn bad(message: &str) -> PageError {
    PageError::new(StatusCode::BAD_REQUEST, message)
}
