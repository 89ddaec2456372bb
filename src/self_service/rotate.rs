//! `POST /api-keys/rotate`: a new secret of the calling key.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::body::{Fields, bad};
use super::refused::{Names, of_mint};
use super::{Answered, Asked, Outcome};
use crate::auth::mint::Mint;
use crate::domain::KeyId;

const GRACE: &str = "grace_period_days";

#[derive(Serialize)]
struct Rotated<'a> {
    id: &'a KeyId,
    new_api_key: &'a str,
    old_key_expires_at: Option<Timestamp>,
}

/// Gives the key a new secret; the one that asked works until the grace ends.
pub(super) async fn rotate(mint: Mint<'_>, asked: &Asked) -> Outcome {
    let mut body = Fields::read(&asked.body, &[GRACE], true)?;
    let longest = mint.config.keys.rotation_grace;
    let grace = match body.days(GRACE, 0)? {
        Some(days) => Duration::from_hours(24 * u64::from(days)),
        None => longest,
    };
    if grace > longest {
        let days = longest.as_secs() / 86_400;
        return Err(bad(format!("`{GRACE}` may be at most {days}")));
    }
    let rotated = mint.rotate(asked.caller.id(), grace, false).await;
    let names = Names { budget: "" };
    let (held, minted) = rotated.map_err(|error| of_mint(error, names))?;
    let old = held.secrets.iter().find(|secret| secret.id == asked.caller.secret);
    Ok(Answered::ok(&Rotated {
        id: &held.key.id,
        new_api_key: minted.text.expose(),
        old_key_expires_at: old.and_then(|secret| secret.expires_at),
    }))
}
