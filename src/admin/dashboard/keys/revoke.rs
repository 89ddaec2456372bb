//! Ending a key, or one secret of it, for good: what goes with it, a name to be typed, the receipt.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;

use super::facts::SecretRow;
use super::family::{Relative, would_end};
use super::show::find;
use crate::admin::AdminState;
use crate::admin::access::Caller;
use crate::admin::dashboard::words::{Moment, counted};
use crate::admin::dashboard::{Editor, Fields, Frame, PageError, Section, page, receipt};
use crate::admin::error::ApiError;
use crate::auth::mint::MintError;
use crate::auth::view::KeyView;
use crate::domain::{KeyId, Millionths, PublicId};

/// Descendants that are named; the others are counted.
const NAMED: usize = 20;

#[derive(Template)]
#[template(path = "keys/revoke.html")]
struct Revoke {
    frame: Frame,
    id: KeyId,
    name: String,
    last_used: Option<Moment>,
    /// Its living descendants, as many as are named.
    below: Vec<Relative>,
    /// How many there are, in words.
    many: String,
    unnamed: usize,
    reason: String,
    wrong: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "keys/revoke-secret.html")]
struct RevokeSecret {
    frame: Frame,
    id: KeyId,
    name: String,
    secret: SecretRow,
    /// Whether nobody can call with the key afterwards.
    is_last: bool,
}

#[derive(Template)]
#[template(path = "keys/revoked.html")]
struct Revoked {
    frame: Frame,
    id: KeyId,
    done: String,
    receipt: receipt::Words,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    form(&state, &caller, KeyId::from_text(id), String::new(), None).await
}

pub(super) async fn revoke(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, PageError> {
    let id = KeyId::from_text(id);
    let held = find(&state, &id).await?.key;
    let name = held.key.name;
    let typed = fields.text("name");
    if typed != name.trim() {
        let wrong = "This is not its name: type it as it stands above.";
        let reason = fields.text("reason").to_owned();
        return form(&state, &caller, id, reason, Some(wrong)).await;
    }
    let (loaded, asker) = (state.loaded(), caller.asker());
    let revoked = state.mint(&loaded, &asker).revoke(&id, fields.given("reason")).await?;
    let receipt = receipt::wait(&state, Instant::now()).await;
    let done = match revoked {
        0 => format!("The key {name} had been revoked before."),
        1 => format!("The key {name} is revoked."),
        more => format!("The key {name} and {} under it are revoked.", counted(more - 1, "key")),
    };
    Ok(page(&Revoked { frame: Frame::new("Revoked", Section::Keys, &caller), id, done, receipt }))
}

pub(super) async fn show_secret(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path((id, secret)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (id, secret) = (KeyId::from_text(id), public_id(&secret)?);
    let (now, loaded) = (state.now(), state.loaded());
    let held = find(&state, &id).await?.key;
    let view = KeyView::new(&held, &loaded.config.keys, Millionths::default(), now);
    let rows = view.secrets.iter().map(|secret| SecretRow::new(secret, now));
    let (asked, others): (Vec<_>, Vec<_>) =
        rows.filter(|row| row.live).partition(|row| row.id == secret.as_str());
    let gone = || MintError::NoSuchSecret { key: id.clone(), secret };
    let row = asked.into_iter().next().ok_or_else(gone)?;
    Ok(page(&RevokeSecret {
        frame: Frame::new("Revoke a secret", Section::Keys, &caller),
        name: held.key.name.clone(),
        secret: row,
        is_last: others.is_empty(),
        id,
    }))
}

pub(super) async fn revoke_secret(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path((id, secret)): Path<(String, String)>,
) -> Result<Response, PageError> {
    let (id, secret) = (KeyId::from_text(id), public_id(&secret)?);
    let (loaded, asker) = (state.loaded(), caller.asker());
    let held = state.mint(&loaded, &asker).revoke_secret(&id, secret).await?;
    let receipt = receipt::wait(&state, Instant::now()).await;
    let done = format!("The secret {secret} of the key {} is revoked.", held.key.name);
    Ok(page(&Revoked { frame: Frame::new("Revoked", Section::Keys, &caller), id, done, receipt }))
}

fn public_id(text: &str) -> Result<PublicId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found("There is no such secret."))
}

async fn form(
    state: &AdminState,
    caller: &Caller,
    id: KeyId,
    reason: String,
    wrong: Option<&'static str>,
) -> Result<Response, PageError> {
    let held = find(state, &id).await?.key;
    if held.key.revoked_at.is_some() {
        return Err(MintError::Revoked(id).into());
    }
    let (mut below, more) = would_end(state, &id).await?;
    let all = below.len();
    below.truncate(NAMED);
    let least = if more { "at least " } else { "" };
    let status = if wrong.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let shown = page(&Revoke {
        frame: Frame::new(format!("Revoke {}", held.key.name), Section::Keys, caller),
        last_used: Moment::of(held.last_used_at(), state.now()),
        name: held.key.name,
        unnamed: all - below.len(),
        many: format!("{least}{}", counted(all as u64, "key")),
        below,
        reason,
        wrong,
        id,
    });
    Ok((status, shown).into_response())
}
