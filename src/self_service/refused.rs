//! What is refused below, in the words of the request's refusals.

use crate::auth::mint::{Field, MintError};
use crate::domain::{Reason, Refusal};
use crate::store::StoreError;

use super::body::bad;

/// How a body names what may be too wide.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pub(super) budget: &'static str,
}

/// Why a key was not made or changed.
pub(super) fn of_mint(error: MintError, names: Names) -> Refusal {
    match error {
        MintError::Invalid { message, .. } => bad(message),
        MintError::MissingScope(scope) => Refusal::MissingScope(scope.into()),
        MintError::TooWide { field, why } => bad(format!("`{}`: {why}", name(field, names))),
        MintError::NoSuchKey(_)
        | MintError::NoSuchSecret { .. }
        | MintError::NoSuchOwner { .. } => Reason::NotFound.into(),
        MintError::Revoked(_) => conflict("the key was revoked"),
        MintError::TwoLive(_) => {
            conflict("the key was rotated, and the grace of its older secret has not ended")
        }
        MintError::Store(error) => of_store(error),
        error @ (MintError::Random(_) | MintError::Hash(_)) => broken(&error),
    }
}

/// Why the store did not do it.
pub(super) fn of_store(error: StoreError) -> Refusal {
    match error {
        StoreError::Unavailable(_) | StoreError::Silent(_) => Reason::StoreUnavailable.into(),
        StoreError::Conflict(_) => conflict("the key has changed meanwhile"),
        error @ (StoreError::Schema { .. } | StoreError::Corrupt(_)) => broken(&error),
    }
}

/// What stands in the way of a request is another one.
pub(super) fn conflict(why: &str) -> Refusal {
    Refusal::Because(Reason::Conflict, why.into())
}

fn broken(error: &impl std::fmt::Display) -> Refusal {
    tracing::error!(%error, "a self-service call could not be served");
    Reason::InternalError.into()
}

fn name(field: Field, names: Names) -> &'static str {
    match field {
        Field::Expiry => "expiration_days",
        Field::Budget => names.budget,
        Field::Addresses => "allowed_ips",
        Field::Limits => "rate_limits",
    }
}
