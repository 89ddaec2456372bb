//! `/agents`: the keys under the calling one, in the words of agents.

use jiff::Timestamp;
use serde::Serialize;

use super::amount::Amount;
use super::body::Fields;
use super::keys::{List, end, is_under, page};
use super::refused::{Names, of_mint, of_store};
use super::{Answered, Asked, Outcome};
use crate::auth::mint::{Grants, Mint, NewKey};
use crate::domain::{Key, KeyId, KeyStatus, KeyWithSecrets, PublicId, Reason};
use crate::key::SecretText;
use crate::key::hash::Argon2Verifier;
use crate::store::{KeyFilter, Page};

const NAMES: Names = Names { budget: "child_budget" };

#[derive(Serialize)]
struct Created<'a> {
    id: &'a KeyId,
    child_key: &'a str,
    api_key: &'a str,
    child_name: &'a str,
    child_budget: Option<Amount>,
    scopes: &'a [String],
    parent_id: &'a KeyId,
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Shown<'a> {
    id: &'a KeyId,
    child_name: &'a str,
    child_budget: Option<Amount>,
    scopes: &'a [String],
    parent_id: Option<&'a KeyId>,
    status: KeyStatus,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

/// `POST /agents/create-child`.
pub(super) async fn create(mint: Mint<'_>, asked: &Asked) -> Outcome {
    const FIELDS: [&str; 4] = ["child_name", "child_budget", "scopes", "expiration_days"];
    let mut body = Fields::read(&asked.body, &FIELDS, false)?;
    let parent = asked.caller.id();
    let new = NewKey {
        name: body.text("child_name")?,
        parent: Some(parent.clone()),
        grants: body.texts("scopes")?.map(|scopes| Grants { scopes, ..Grants::default() }),
        monthly_budget: body.amount("child_budget")?,
        expires_at: body.end("expiration_days", mint.clock.now())?.map(Some),
        ..NewKey::default()
    };
    let (made, minted) = mint.create(new).await.map_err(|error| of_mint(error, NAMES))?;
    let (key, secret) = (&made.key, minted.text.expose());
    let created = Created {
        id: &key.id,
        child_key: secret,
        api_key: secret,
        child_name: &key.name,
        child_budget: key.monthly_budget.map(Amount),
        scopes: &key.scopes,
        parent_id: parent,
        expires_at: key.expires_at,
    };
    Ok(Answered::new(201, &created))
}

/// `GET /agents`.
pub(super) async fn list(mint: Mint<'_>, asked: &Asked) -> Outcome {
    let filter = KeyFilter { ancestor: Some(asked.caller.id().clone()), ..KeyFilter::default() };
    let now = mint.clock.now();
    let Page { rows, next_cursor } = page(mint, asked, &filter).await?;
    let data = rows.iter().map(|held| shown(held, now)).collect();
    Ok(Answered::ok(&List { data, next_cursor }))
}

/// `DELETE /agents/{child}/revoke`.
pub(super) async fn revoke(mint: Mint<'_>, asked: &Asked) -> Outcome {
    let (held, by_secret) = find(mint, &asked.subject).await?;
    // Whose it is comes first: only for a child of the caller's own is anything hashed.
    if !is_under(mint, &held.key.id, asked.caller.id()).await? {
        return Err(Reason::NotFound.into());
    }
    if let Some(secret) = by_secret
        && !is_right(&held, secret, &asked.subject).await?
    {
        return Err(Reason::NotFound.into());
    }
    end(mint, &held.key).await
}

/// The key that a text names by its id, or by a secret that nobody has checked yet.
async fn find(mint: Mint<'_>, named: &SecretText) -> Outcome<(KeyWithSecrets, Option<PublicId>)> {
    let text = named.expose();
    let parsed = mint.config.keys.format.parse(text.as_bytes());
    let (held, by_secret) = match parsed {
        Some(parsed) => {
            let loaded = mint.store.load_by_secret(parsed.id).await.map_err(of_store)?;
            (loaded.map(|loaded| loaded.key), Some(parsed.id))
        }
        None => (mint.store.key(&KeyId::from_text(text)).await.map_err(of_store)?, None),
    };
    held.map(|held| (held, by_secret)).ok_or_else(|| Reason::NotFound.into())
}

/// Whether a text is that secret of a key.
async fn is_right(held: &KeyWithSecrets, id: PublicId, text: &SecretText) -> Outcome<bool> {
    let Some(secret) = held.secrets.iter().find(|secret| secret.id == id) else { return Ok(false) };
    let (text, phc) = (text.clone(), secret.phc.clone());
    let hashing = tokio::task::spawn_blocking(move || {
        Argon2Verifier::default().verify(text.expose().as_bytes(), &phc, id.as_str())
    });
    let checked = hashing.await.expect("hashing neither panics nor is cancelled");
    checked.map_err(|error| {
        tracing::error!(%error, "a secret could not be checked");
        Reason::InternalError.into()
    })
}

fn shown(held: &KeyWithSecrets, now: Timestamp) -> Shown<'_> {
    let key: &Key = &held.key;
    Shown {
        id: &key.id,
        child_name: &key.name,
        child_budget: key.monthly_budget.map(Amount),
        scopes: &key.scopes,
        parent_id: key.parent_id.as_ref(),
        status: key.status(now),
        created_at: key.created_at,
        expires_at: key.expires_at,
        last_used_at: held.last_used_at(),
    }
}
