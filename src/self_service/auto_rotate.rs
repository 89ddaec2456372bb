//! `/api-keys/auto-rotate`: the calling key's rotation on schedule, and where it is told of it.

use jiff::Timestamp;
use serde::Serialize;

use super::body::{Fields, bad};
use super::refused::{Names, of_mint, of_store};
use super::{Answered, Asked, Outcome};
use crate::auth::mint::Mint;
use crate::domain::rotation::MAX_INTERVAL_DAYS;
use crate::domain::{KeyId, KeyWithSecrets, Reason, Refusal};
use crate::webhooks::{HookError, Hooks};

const INTERVAL: &str = "rotation_interval_days";
const URL: &str = "webhook_url";
const NAMES: Names = Names { budget: "" };

#[derive(Serialize)]
struct Schedule<'a> {
    next_rotation_at: Option<Timestamp>,
    rotation_interval_days: Option<u32>,
    webhook_url: Option<&'a str>,
    /// Shown once.
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_signing_secret: Option<&'a str>,
}

#[derive(Serialize)]
struct Removed<'a> {
    id: &'a KeyId,
    status: &'static str,
}

/// `POST`: in the place of what there was.
pub(super) async fn start(mint: Mint<'_>, hooks: &Hooks, asked: &Asked) -> Outcome {
    let mut body = Fields::read(&asked.body, &[INTERVAL, URL], false)?;
    let url = body.text(URL)?;
    let days = body.days(INTERVAL, 1)?.filter(|days| *days <= MAX_INTERVAL_DAYS);
    let wrong =
        || bad(format!("`{INTERVAL}` must be a whole number from 1 to {MAX_INTERVAL_DAYS}"));
    let days = days.ok_or_else(wrong)?;
    let id = asked.caller.id();
    check_not_loosened(mint, asked, Some(days)).await?;
    let secret = hooks.register(id.as_str(), &url).await.map_err(of_hook)?;
    let scheduled = mint.schedule(id, Some(days)).await;
    let held = scheduled.map_err(|error| of_mint(error, NAMES))?;
    let secret = secret.text();
    let shown = shown(&held, Some(&url), mint.clock.now());
    Ok(Answered::ok(&Schedule { webhook_signing_secret: Some(secret.expose()), ..shown }))
}

/// `GET`.
pub(super) async fn show(mint: Mint<'_>, hooks: &Hooks, asked: &Asked) -> Outcome {
    let held = scheduled(mint, asked).await?;
    let url = hooks.find(asked.caller.id().as_str()).await.map_err(of_hook)?;
    Ok(Answered::ok(&shown(&held, url.as_deref(), mint.clock.now())))
}

/// `DELETE`.
pub(super) async fn stop(mint: Mint<'_>, hooks: &Hooks, asked: &Asked) -> Outcome {
    scheduled(mint, asked).await?;
    let id = asked.caller.id();
    check_not_loosened(mint, asked, None).await?;
    mint.schedule(id, None).await.map_err(|error| of_mint(error, NAMES))?;
    hooks.remove(id.as_str()).await.map_err(of_hook)?;
    Ok(Answered::ok(&Removed { id, status: "removed" }))
}

/// Where rotation is enforced, a key may tighten its own schedule and not loosen it: it would escape
/// what the operator has decided.
async fn check_not_loosened(mint: Mint<'_>, asked: &Asked, days: Option<u32>) -> Outcome<()> {
    if !mint.config.keys.enforce_rotation {
        return Ok(());
    }
    let held = mint.key(asked.caller.id()).await.map_err(|error| of_mint(error, NAMES))?;
    let Some(now) = held.key.rotation_interval_days else { return Ok(()) };
    if days.is_some_and(|days| days <= now) {
        return Ok(());
    }
    Err(bad(format!("rotation is enforced here: `{INTERVAL}` may be at most {now}, and not ended")))
}

/// The calling key, if it has a schedule.
async fn scheduled(mint: Mint<'_>, asked: &Asked) -> Outcome<KeyWithSecrets> {
    let held = mint.key(asked.caller.id()).await.map_err(|error| of_mint(error, NAMES))?;
    match held.key.rotation_interval_days {
        Some(_) => Ok(held),
        None => Err(Reason::NotFound.into()),
    }
}

fn shown<'a>(held: &KeyWithSecrets, url: Option<&'a str>, now: Timestamp) -> Schedule<'a> {
    Schedule {
        next_rotation_at: held.next_rotation_at(now),
        rotation_interval_days: held.key.rotation_interval_days,
        webhook_url: url,
        webhook_signing_secret: None,
    }
}

/// Which of a host's addresses is one that events may not go to, the asker is not told.
fn of_hook(error: HookError) -> Refusal {
    match error {
        HookError::Url(error) => bad(format!("`{URL}`: {error}")),
        HookError::Address(_) => bad(format!("`{URL}` must lead to a host on the public internet")),
        HookError::Store(error) => of_store(error),
        error @ (HookError::NoKey
        | HookError::KeyFile(_)
        | HookError::Vault(_)
        | HookError::Mint(_)) => {
            tracing::error!(%error, "a key's webhook could not be served");
            Reason::InternalError.into()
        }
    }
}
