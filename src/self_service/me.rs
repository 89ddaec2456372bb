//! `GET /me`: what the calling key is and may do.

use jiff::Timestamp;
use serde::Serialize;

use super::balance::{self, Balance};
use super::refused::{Names, of_mint};
use super::{Answered, Asked, Outcome};
use crate::auth::mint::Mint;
use crate::domain::{Environment, KeyId, OwnerId, PublicId, Reason};
use crate::limit;

#[derive(Serialize)]
struct Me<'a> {
    id: &'a KeyId,
    name: &'a str,
    owner: &'a OwnerId,
    environment: Environment,
    /// What it may do under the keys above it.
    scopes: Vec<&'a str>,
    /// When it ends, or the first of those above it does.
    expires_at: Option<Timestamp>,
    secret: Secret,
    limits: Vec<Standing>,
    balance: Balance,
}

#[derive(Serialize)]
struct Secret {
    id: PublicId,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct Standing {
    limit: u32,
    window_seconds: u32,
    remaining: u32,
    /// Unix seconds.
    reset: i64,
}

/// Tells the calling key of itself.
pub(super) async fn me(mint: Mint<'_>, asked: &Asked) -> Outcome {
    let id = asked.caller.id();
    let refused = |error| of_mint(error, Names { budget: "" });
    let held = mint.key(id).await.map_err(refused)?;
    let family = mint.family(id).await.map_err(refused)?;
    let (key, rights) = (&held.key, &asked.caller.rights);
    let secret = held.secrets.iter().find(|secret| secret.id == asked.caller.secret);
    let secret = secret.ok_or(Reason::NotFound)?;
    let now_ms = mint.clock.now_ms();
    Ok(Answered::ok(&Me {
        id,
        name: &key.name,
        owner: &key.owner_id,
        environment: key.environment,
        scopes: rights.told().to_str().unwrap_or_default().split_whitespace().collect(),
        expires_at: family.iter().filter_map(|key| key.expires_at).min(),
        secret: Secret {
            id: secret.id,
            created_at: secret.created_at,
            expires_at: secret.expires_at,
        },
        limits: asked.standings.iter().map(|standing| shown(standing, now_ms)).collect(),
        balance: balance::of(mint, asked).await?,
    }))
}

fn shown(standing: &limit::Standing, now_ms: i64) -> Standing {
    let reset_ms = now_ms.saturating_add_unsigned(standing.reset_in_ms);
    Standing {
        limit: standing.limit.max.get(),
        window_seconds: standing.limit.window.seconds(),
        remaining: standing.remaining,
        reset: reset_ms.saturating_add(999) / 1_000,
    }
}
