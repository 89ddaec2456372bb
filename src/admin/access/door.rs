//! The check of a token: its form, its row, its hash.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;

use super::failures::Failures;
use super::known::Known;
use super::setup::Setup;
use super::token;
use super::uses::Uses;
use crate::admin::error::ApiError;
use crate::auth::pool::{Argon2Pool, PoolError};
use crate::domain::{AdminSession, AdminToken, Limit, PublicId, Reason};
use crate::key::hash::{Digest, DigestKey};
use crate::key::{SecretFormat, SecretText};
use crate::store::Store;
use crate::telemetry::metrics::Metrics;

/// What is held of who has come in.
pub struct Door {
    format: SecretFormat,
    /// A thread of its own: a flood of bad tokens takes nothing from the keys.
    pool: Argon2Pool,
    digests: DigestKey,
    /// By public id, the hash that was confirmed and the digest that it was confirmed with.
    confirmed: Known<PublicId, (String, Digest)>,
    /// The digests of sessions that were found good.
    sessions: Known<String, ()>,
    failures: Failures,
    uses: Uses,
    setup: Setup,
}

/// Somebody who wants to come in.
pub(in crate::admin) struct Knock<'a> {
    /// From where.
    pub(in crate::admin) address: IpAddr,
    /// How often one may fail from there.
    pub(in crate::admin) limit: Option<Limit>,
    pub(in crate::admin) store: &'a Arc<dyn Store>,
    pub(in crate::admin) now: Timestamp,
}

impl Door {
    /// A door that knows nobody yet.
    pub fn new(metrics: Arc<Metrics>) -> anyhow::Result<Self> {
        let pool = Argon2Pool::start(1, Arc::clone(&metrics)).map_err(|error: io::Error| error);
        Ok(Self {
            format: token::format(),
            pool: pool.context("the admin plane's hashing thread could not be started")?,
            digests: DigestKey::random().context("no random bytes for the digests' key")?,
            confirmed: Known::default(),
            sessions: Known::default(),
            failures: Failures::new(metrics),
            uses: Uses::default(),
            setup: Setup::default(),
        })
    }

    /// Lets who has this code make the first token, for a quarter of an hour.
    pub fn offer_setup(&self) -> anyhow::Result<SecretText> {
        self.setup.offer(&self.digests).context("no random bytes for the set-up code")
    }

    /// Whether the first token may be made by such a code.
    pub(in crate::admin) fn offers_setup(&self) -> bool {
        self.setup.is_offered()
    }

    /// Whether that is the code with which the first token may be made.
    pub(in crate::admin) async fn is_setup_code(
        &self,
        code: &str,
        knock: &Knock<'_>,
    ) -> Result<bool, ApiError> {
        let judge = async { Ok(self.setup.is(code, &self.digests).then_some(())) };
        let judged = self.failures.judged(knock.address, knock.limit, judge).await;
        judged.map(|found| found.is_some())
    }

    /// There is a first token: the code has done its work.
    pub(in crate::admin) fn close_setup(&self) {
        self.setup.close();
    }

    /// The token that this is the text of; `None`: it is none, or of one that is over. One that was
    /// confirmed before is not kept waiting by what else comes from its address.
    pub(in crate::admin) async fn token(
        &self,
        text: &str,
        knock: &Knock<'_>,
    ) -> Result<Option<AdminToken>, ApiError> {
        let digest = self.digests.digest(text.as_bytes());
        let id = self.format.parse(text.as_bytes()).map(|parsed| parsed.id);
        let is_known =
            id.is_some_and(|id| self.confirmed.has(&id, |(_, known)| known.matches(&digest)));
        let judge = async {
            match id {
                Some(id) => self.judge(id, text, digest, knock).await,
                None => Ok(None),
            }
        };
        let found = self.asked(is_known, knock, judge).await?;
        match (&found, id) {
            (Some(token), _) => self.uses.token(token, knock.store, knock.now),
            (None, Some(id)) if is_known => self.confirmed.forget(&id),
            _ => {}
        }
        Ok(found)
    }

    /// The session whose digest that is, with its token; `None`: there is none, or it is over.
    pub(in crate::admin) async fn session(
        &self,
        digest: &str,
        knock: &Knock<'_>,
    ) -> Result<Option<(AdminSession, AdminToken)>, ApiError> {
        let digest = digest.to_owned();
        let is_known = self.sessions.has(&digest, |()| true);
        let judge = async {
            let found = knock.store.session(&digest).await?;
            Ok(found.filter(|(session, token)| {
                session.expires_at > knock.now && token.is_live(knock.now)
            }))
        };
        let found = self.asked(is_known, knock, judge).await?;
        if let Some((session, token)) = &found {
            self.uses.session(session, knock.store, knock.now);
            self.uses.token(token, knock.store, knock.now);
            self.sessions.remember(digest, ());
        } else {
            self.sessions.forget(&digest);
        }
        Ok(found)
    }

    /// A session was begun whose digest that is.
    pub(super) fn knows(&self, digest: String) {
        self.sessions.remember(digest, ());
    }

    /// Who was let in before is asked for at once, whatever else came from there.
    async fn asked<T>(
        &self,
        is_known: bool,
        knock: &Knock<'_>,
        judge: impl Future<Output = Result<Option<T>, ApiError>>,
    ) -> Result<Option<T>, ApiError> {
        if !is_known {
            return self.failures.judged(knock.address, knock.limit, judge).await;
        }
        let found = judge.await?;
        if found.is_none() {
            self.failures.count(knock.address, knock.limit);
        }
        Ok(found)
    }

    async fn judge(
        &self,
        id: PublicId,
        text: &str,
        digest: Digest,
        knock: &Knock<'_>,
    ) -> Result<Option<AdminToken>, ApiError> {
        let found = knock.store.token_by_public_id(id).await?;
        let Some(token) = found.filter(|token| token.is_live(knock.now)) else { return Ok(None) };
        // Of a hash that was confirmed, every other text is wrong: no second hashing is needed.
        let of_this_hash =
            |(phc, known): &(String, Digest)| (*phc == token.phc).then(|| known.matches(&digest));
        if let Some(is_it) = self.confirmed.look(&id, of_this_hash).flatten() {
            return Ok(is_it.then_some(token));
        }
        match self.pool.verify(text.as_bytes(), &token.phc, id).await {
            Ok(true) => {
                self.confirmed.remember(id, (token.phc.clone(), digest));
                Ok(Some(token))
            }
            Ok(false) => Ok(None),
            Err(PoolError::Full) => Err(Reason::Overloaded.into()),
            Err(PoolError::Hash(error)) => {
                tracing::error!(%error, "an admin token could not be checked");
                Err(Reason::InternalError.into())
            }
        }
    }
}
