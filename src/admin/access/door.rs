//! The check of a token: its form, its row, its hash.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;

use super::token;
use crate::admin::error::ApiError;
use crate::auth::pool::{Argon2Pool, PoolError};
use crate::domain::{AdminToken, PublicId, Reason};
use crate::key::SecretFormat;
use crate::key::hash::{Digest, DigestKey};
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// Tokens whose digests are held at most; past that all are forgotten, which costs each one hash.
const HELD: usize = 1_024;

/// What is held of who has come in.
pub struct Door {
    format: SecretFormat,
    /// A thread of its own: a flood of bad tokens takes nothing from the keys.
    pool: Argon2Pool,
    digests: DigestKey,
    /// By public id, the hash that was confirmed and the digest that it was confirmed with.
    confirmed: Mutex<HashMap<PublicId, (String, Digest)>>,
}

impl Door {
    /// A door that knows nobody yet.
    pub fn new(metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let pool = Argon2Pool::start(1, metrics).map_err(|error: io::Error| error);
        Ok(Self {
            format: token::format(),
            pool: pool.context("the admin plane's hashing thread could not be started")?,
            digests: DigestKey::random().context("no random bytes for the digests' key")?,
            confirmed: Mutex::default(),
        })
    }

    /// The token that this is the text of; `None`: it is none, or of one that is over.
    pub(in crate::admin) async fn token(
        &self,
        text: &str,
        store: &dyn Store,
        now: jiff::Timestamp,
    ) -> Result<Option<AdminToken>, ApiError> {
        let Some(parsed) = self.format.parse(text.as_bytes()) else { return Ok(None) };
        let Some(found) = store.token_by_public_id(parsed.id).await? else { return Ok(None) };
        if !self.is(text, &found).await? || !found.is_live(now) {
            return Ok(None);
        }
        Ok(Some(found))
    }

    async fn is(&self, text: &str, token: &AdminToken) -> Result<bool, ApiError> {
        let digest = self.digests.digest(text.as_bytes());
        let lock = || self.confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((phc, known)) = lock().get(&token.public_id)
            && *phc == token.phc
        {
            return Ok(known.matches(&digest));
        }
        match self.pool.verify(text.as_bytes(), &token.phc, token.public_id).await {
            Ok(true) => {
                let mut confirmed = lock();
                if confirmed.len() >= HELD {
                    confirmed.clear();
                }
                confirmed.insert(token.public_id, (token.phc.clone(), digest));
                Ok(true)
            }
            Ok(false) => Ok(false),
            Err(PoolError::Full) => Err(Reason::Overloaded.into()),
            Err(PoolError::Hash(error)) => {
                tracing::error!(%error, "an admin token could not be checked");
                Err(Reason::InternalError.into())
            }
        }
    }
}
