//! `/api-keys`: keys of the calling key's owner.
//!
//! A key that is made here is the calling key's child. Which keys are seen and can be ended: all of
//! the same owner; to a test key those of the test environment alone. What is above the calling key
//! it can't end.

use jiff::Timestamp;
use serde::Serialize;

use super::amount::Amount;
use super::body::{Fields, bad};
use super::refused::{Names, of_mint, of_store};
use super::{Answered, Asked, Outcome};
use crate::auth::mint::{Grants, Mint, NewKey};
use crate::domain::{
    AddressRange, Environment, Key, KeyId, KeyStatus, KeyWithSecrets, Limit, Reason,
};
use crate::store::{KeyFilter, Page, PageRequest};

const NAMES: Names = Names { budget: "monthly_budget" };
/// Keys on a page where nothing is said, and at most.
const USUAL_PAGE: u32 = 100;
const LONGEST_PAGE: u32 = 1_000;

#[derive(Serialize)]
struct Made<'a> {
    id: &'a KeyId,
    api_key: &'a str,
    name: &'a str,
    scopes: &'a [String],
    environment: Environment,
    monthly_budget: Option<Amount>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
}

/// A key as other keys of its owner see it.
#[derive(Serialize)]
struct Shown<'a> {
    id: &'a KeyId,
    name: &'a str,
    parent_id: Option<&'a KeyId>,
    environment: Environment,
    status: KeyStatus,
    scopes: &'a [String],
    rate_limits: &'a [Limit],
    allowed_ips: &'a [AddressRange],
    monthly_budget: Option<Amount>,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

/// A page of a list.
#[derive(Serialize)]
pub(super) struct List<T> {
    pub(super) data: Vec<T>,
    pub(super) next_cursor: Option<String>,
}

#[derive(Serialize)]
struct Revoked<'a> {
    id: &'a KeyId,
    status: KeyStatus,
}

/// `POST /api-keys`.
pub(super) async fn create(mint: Mint<'_>, asked: &Asked) -> Outcome {
    const FIELDS: [&str; 6] =
        ["name", "scopes", "monthly_budget", "expiration_days", "allowed_ips", "rate_limits"];
    let mut body = Fields::read(&asked.body, &FIELDS, false)?;
    let new = NewKey {
        name: body.text("name")?,
        parent: Some(asked.caller.id().clone()),
        grants: body.texts("scopes")?.map(|scopes| Grants { scopes, ..Grants::default() }),
        monthly_budget: body.amount("monthly_budget")?,
        expires_at: body.end("expiration_days", mint.clock.now())?.map(Some),
        allowed_ips: body.list("allowed_ips")?,
        limits: body.list("rate_limits")?,
        ..NewKey::default()
    };
    let (held, minted) = mint.create(new).await.map_err(|error| of_mint(error, NAMES))?;
    let key = &held.key;
    let made = Made {
        id: &key.id,
        api_key: minted.text.expose(),
        name: &key.name,
        scopes: &key.scopes,
        environment: key.environment,
        monthly_budget: key.monthly_budget.map(Amount),
        created_at: key.created_at,
        expires_at: key.expires_at,
    };
    Ok(Answered::new(201, &made))
}

/// `GET /api-keys`.
pub(super) async fn list(mint: Mint<'_>, asked: &Asked) -> Outcome {
    let filter = KeyFilter { owner: Some(caller(asked).owner_id.clone()), ..visible(asked) };
    let now = mint.clock.now();
    let Page { rows, next_cursor } = page(mint, asked, &filter).await?;
    let data = rows.iter().map(|held| shown(held, now)).collect();
    Ok(Answered::ok(&List { data, next_cursor }))
}

/// `GET /api-keys/{id}`.
pub(super) async fn show(mint: Mint<'_>, asked: &Asked) -> Outcome {
    let held = find(mint, asked, asked.subject.expose()).await?;
    Ok(Answered::ok(&shown(&held, mint.clock.now())))
}

/// `DELETE /api-keys/{id}`.
pub(super) async fn revoke(mint: Mint<'_>, asked: &Asked) -> Outcome {
    let held = find(mint, asked, asked.subject.expose()).await?;
    if is_under(mint, asked.caller.id(), &held.key.id).await? {
        return Err(bad("a key can't revoke one that it is under"));
    }
    end(mint, &held.key).await
}

/// Ends a key and all under it.
pub(super) async fn end(mint: Mint<'_>, key: &Key) -> Outcome {
    mint.revoke(&key.id, None).await.map_err(|error| of_mint(error, NAMES))?;
    Ok(Answered::ok(&Revoked { id: &key.id, status: KeyStatus::Revoked }))
}

/// Whether a key is under another one, at any depth.
pub(super) async fn is_under(mint: Mint<'_>, key: &KeyId, above: &KeyId) -> Outcome<bool> {
    let family = mint.family(key).await.map_err(|error| of_mint(error, NAMES))?;
    Ok(family.iter().skip(1).any(|ancestor| ancestor.id == *above))
}

/// A page of keys, as `?cursor=` and `?limit=` say.
pub(super) async fn page(
    mint: Mint<'_>,
    asked: &Asked,
    filter: &KeyFilter,
) -> Outcome<Page<KeyWithSecrets>> {
    let mut request = PageRequest { after: None, limit: USUAL_PAGE };
    for pair in asked.query.as_deref().unwrap_or_default().split('&') {
        match pair.split_once('=') {
            Some(("cursor", cursor)) => request.after = Some(cursor.to_owned()),
            Some(("limit", limit)) => {
                let limit = limit.parse().ok().filter(|limit| (1..=LONGEST_PAGE).contains(limit));
                let wrong = || bad(format!("`limit` must be a number from 1 to {LONGEST_PAGE}"));
                request.limit = limit.ok_or_else(wrong)?;
            }
            _ => {}
        }
    }
    mint.store.keys(filter, &request).await.map_err(of_store)
}

/// The keys that the calling one may see, but for whose they are.
fn visible(asked: &Asked) -> KeyFilter {
    let environment = Some(caller(asked).environment).filter(|it| *it == Environment::Test);
    KeyFilter { environment, ..KeyFilter::default() }
}

/// A key that the calling one may see; any other there is as if it were not there.
async fn find(mint: Mint<'_>, asked: &Asked, id: &str) -> Outcome<KeyWithSecrets> {
    let caller = caller(asked);
    let seen = |held: &KeyWithSecrets| {
        held.key.owner_id == caller.owner_id
            && (caller.environment == Environment::Live
                || held.key.environment == Environment::Test)
    };
    let held = mint.store.key(&KeyId::from_text(id)).await.map_err(of_store)?;
    held.filter(seen).ok_or_else(|| Reason::NotFound.into())
}

fn caller(asked: &Asked) -> &Key {
    &asked.caller.rights.record.key
}

fn shown(held: &KeyWithSecrets, now: Timestamp) -> Shown<'_> {
    let key = &held.key;
    Shown {
        id: &key.id,
        name: &key.name,
        parent_id: key.parent_id.as_ref(),
        environment: key.environment,
        status: key.status(now),
        scopes: &key.scopes,
        rate_limits: &key.limits,
        allowed_ips: &key.allowed_ips,
        monthly_budget: key.monthly_budget.map(Amount),
        created_at: key.created_at,
        expires_at: key.expires_at,
        last_used_at: held.last_used_at(),
    }
}
