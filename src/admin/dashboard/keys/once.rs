//! A form that makes a secret does so once, however often it is sent: reloading the page that shows
//! the secret makes no second one.
//!
//! The form carries a random name. Whoever sends it first claims the name in the store, beside the
//! names of `Idempotency-Key`; whoever sends it again is led to what was made then, without the secret.

use jiff::{SignedDuration, Timestamp};
use rand::TryRng as _;
use rand::rngs::SysRng;

use crate::admin::AdminState;
use crate::admin::access::Caller;
use crate::admin::dashboard::{Fields, PageError};
use crate::admin::error::ApiError;
use crate::auth::once::KEPT;
use crate::domain::{KeyId, Reason};
use crate::key::hex;
use crate::store::{Claim, Claimed};

/// The hidden field's name.
pub(super) const FIELD: &str = "once";
/// How long a form may lie before it is sent: shorter than claims are kept.
const LASTS: SignedDuration = SignedDuration::from_hours(12);

/// What becomes of a form that was sent.
#[derive(Debug)]
pub(super) enum Turn {
    /// It is sent for the first time: do it, then say so with [`made`] or [`not_made`].
    First(Claim),
    /// It was sent before, and this key came of it.
    Made(KeyId),
    /// It was sent before, and nobody knows what came of it.
    Unknown,
    /// It is too old, or no form of ours.
    Stale,
}

/// A name for a form that is shown now: when that was, and 128 random bits.
pub(super) fn name(now: Timestamp) -> Result<String, PageError> {
    let mut bits = [0u8; 16];
    SysRng.try_fill_bytes(&mut bits).map_err(|_| ApiError::from(Reason::InternalError))?;
    Ok(format!("{}-{}", now.as_second(), hex::encode(&bits)))
}

/// Whose turn it is; `what` tells forms apart that do different things.
pub(super) async fn turn(
    state: &AdminState,
    caller: &Caller,
    fields: &Fields,
    what: &str,
) -> Result<Turn, PageError> {
    let now = state.now();
    let Some(name) = fields.given(FIELD).filter(|name| is_fresh(name, now)) else {
        return Ok(Turn::Stale);
    };
    let claim = Claim {
        asker: caller.token.id.as_str().to_owned(),
        name: blake3::hash(format!("form {name}").as_bytes()).to_hex().to_string(),
        request: what.to_owned(),
    };
    let kept_since = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
    Ok(match state.store.claim_answer(&claim, now, kept_since).await? {
        Claimed::Now => Turn::First(claim),
        Claimed::Before { request, answer: Some((_, key)) } if request == claim.request => {
            Turn::Made(KeyId::from_text(key))
        }
        Claimed::Before { .. } => Turn::Unknown,
    })
}

/// Says what came of it. Should the store not take it, a second sending is told that nobody knows.
pub(super) async fn made(state: &AdminState, claim: &Claim, key: &KeyId) {
    if let Err(error) = state.store.keep_answer(claim, 201, key.as_str()).await {
        tracing::warn!(%error, "what came of a form is not on record");
    }
}

/// Lets the form be sent again, once what was wrong with it is mended.
pub(super) async fn not_made(state: &AdminState, claim: &Claim) {
    if let Err(error) = state.store.let_claim_go(claim).await {
        tracing::warn!(%error, "a form of which nothing came cannot be sent again");
    }
}

fn is_fresh(name: &str, now: Timestamp) -> bool {
    let Some((second, bits)) = name.split_once('-') else { return false };
    let shown = second.parse().ok().and_then(|second| Timestamp::from_second(second).ok());
    let age = shown.map(|shown| now.duration_since(shown));
    bits.len() == 32 && age.is_some_and(|age| age < LASTS && age > -SignedDuration::from_mins(5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_may_be_sent_for_twelve_hours() {
        let shown: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let name = name(shown).unwrap();
        assert!(is_fresh(&name, shown));
        let later = |hours| shown.checked_add(SignedDuration::from_hours(hours)).unwrap();
        assert!(is_fresh(&name, later(11)) && !is_fresh(&name, later(12)));
        assert!(!is_fresh(&name, later(-1)), "no form is from the future");
        for wrong in ["", "1-", "x-00000000000000000000000000000000"] {
            assert!(!is_fresh(wrong, shown), "{wrong}");
        }
    }
}
