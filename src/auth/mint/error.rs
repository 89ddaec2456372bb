//! Why a key or an owner was not made or changed, in words for who asked for it.

use std::fmt;

use thiserror::Error;

use crate::domain::{KeyId, PublicId};
use crate::key::hash::HashError;
use crate::store::StoreError;

/// Why it was not done. What is wrong is in the text, what to do in [`MintError::hint`].
///
/// No variant holds a secret or a part of one.
#[derive(Debug, Error)]
pub enum MintError {
    /// What was asked for can't be had under this configuration: the asker's to correct.
    #[error("{message}")]
    Invalid {
        /// What is wrong and what is allowed.
        message: String,
        /// What to do, where there is more to say.
        hint: Option<String>,
    },
    /// A key under another one would have a scope that that one has not.
    #[error("the key that it is under does not have the scope `{0}`")]
    MissingScope(String),
    /// A key under another one would have more than that one.
    #[error("the {field} would be wider than its parent's: {why}")]
    TooWide {
        /// What of it.
        field: Field,
        /// What is the most that it can have.
        why: String,
    },
    /// No owner has that id or name.
    #[error("there is no owner `{name}`")]
    NoSuchOwner {
        /// As asked for.
        name: String,
        /// The name most like it.
        nearest: Option<String>,
    },
    /// No key has that id.
    #[error("there is no key `{0}`")]
    NoSuchKey(String),
    /// The key has no live secret of that id.
    #[error("key {key} has no live secret `{secret}`")]
    NoSuchSecret {
        /// The key.
        key: KeyId,
        /// The secret's public characters.
        secret: PublicId,
    },
    /// Revoked keys can't be changed.
    #[error("key {0} is revoked, which is for good")]
    Revoked(KeyId),
    /// A key has two live secrets at most.
    #[error("key {0} has two live secrets already: it was rotated and the grace has not ended")]
    TwoLive(KeyId),
    /// The operating system gave no random bytes.
    #[error(transparent)]
    Random(#[from] crate::key::format::MintError),
    /// The secret could not be hashed.
    #[error(transparent)]
    Hash(#[from] HashError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What of a key would be too wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// When it ends.
    Expiry,
    /// What it may spend.
    Budget,
    /// From where it may call.
    Addresses,
    /// How often it may call.
    Limits,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expiry => "expiry",
            Self::Budget => "budget",
            Self::Addresses => "allowlist",
            Self::Limits => "limits",
        })
    }
}

impl MintError {
    /// A complaint about what was asked for.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), hint: None }
    }

    /// A complaint with what to do about it.
    pub(super) fn invalid_but(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Invalid { message: message.into(), hint: Some(hint.into()) }
    }

    /// What to do about it, where there is something.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Invalid { hint, .. } => hint.clone(),
            Self::NoSuchOwner { nearest: Some(nearest), .. } => Some(format!(
                "did you mean `{nearest}`? `keygate owner create NAME` makes a new one"
            )),
            Self::NoSuchOwner { nearest: None, .. } => Some(
                "`keygate owner list` shows all, `keygate owner create NAME` makes a new one"
                    .to_owned(),
            ),
            Self::NoSuchKey(_) => Some("`keygate key list` shows all keys".to_owned()),
            Self::NoSuchSecret { key, .. } => {
                Some(format!("`keygate key show {key}` lists its secrets"))
            }
            Self::Revoked(_) => Some("make a new one with `keygate key create`".to_owned()),
            Self::TwoLive(_) => Some(
                "wait until the older one has ended, or end it now with `--replace`".to_owned(),
            ),
            Self::Store(StoreError::Schema { .. }) => Some("run `keygate migrate`".to_owned()),
            Self::Store(StoreError::Unavailable(_) | StoreError::Silent(_)) => {
                Some("is `store.url` right, and the database running?".to_owned())
            }
            Self::MissingScope(_) | Self::TooWide { .. } => Some(
                "a child never has more than the keys above it; `keygate key show` shows those"
                    .to_owned(),
            ),
            Self::Random(_) | Self::Hash(_) | Self::Store(_) => None,
        }
    }
}
