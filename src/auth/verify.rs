//! Step 5 of a request's way: whose secret is this, and may its key call at all?

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::cache_mac::CacheMacs;
use super::pool::{Argon2Pool, PoolError};
use super::sync::{Found, StoreState, Sync};
use super::table::{
    KeyEntry, KeyPolicy, KeyRecord, Moment, Proof, RotateBy, SecretEnd, SecretEntry,
};
use crate::domain::{Limit, PublicId, Reason, Refusal};
use crate::key::SecretFormat;
use crate::key::hash::{Digest, DigestKey};
use crate::limit::FailedAuth;
use crate::telemetry::metrics::{KeyTableResult, WorkerMetrics};

/// Ids that are not known to exist and are asked of the store all the same, per second: one may
/// have been minted elsewhere a millisecond ago.
const UNKNOWN_PER_SECOND: u64 = 40;
/// Requests that wait for one id's first confirmation at most: a burst of a new key's own requests
/// passes, and a flood of guesses under an id that is not confirmed yet holds no more than this.
const WAITING_PER_ID: usize = 512;

/// How entries age; from `[cache]` and `[limits]`.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// After how long an entry is read again.
    pub ttl: Duration,
    /// How long the table goes on without the store.
    pub stale_if_down: Duration,
    /// 401s per address.
    pub failed_auth_per_ip: Option<Limit>,
}

/// Checks secrets: the table first, the store and Argon2 only where it must be.
pub struct Authenticator {
    /// The table and what keeps it fresh.
    pub sync: Arc<Sync>,
    /// Where Argon2 runs.
    pub pool: Argon2Pool,
    /// What spares a secret a second run.
    pub macs: CacheMacs,
    failures: FailedAuth,
    digests: DigestKey,
    confirming: Mutex<HashMap<PublicId, Arc<tokio::sync::Mutex<()>>>>,
    /// Questions to the store about ids that are not known to exist, one an id.
    asking: Questions,
    unknown: Allowance,
}

/// A secret that is known to be right, with its key. Whether the key may call is not said yet.
pub struct Verified {
    /// The secret's entry.
    pub secret: Arc<SecretEntry>,
}

/// What the store is being asked about ids, and what it said.
type Questions = Mutex<HashMap<PublicId, Arc<OnceCell<Result<Arc<SecretEntry>, Refusal>>>>>;

/// Who asks, and where it is counted.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The client's address.
    pub address: IpAddr,
    /// The counters of the worker that asks.
    pub metrics: &'a WorkerMetrics,
}

impl Verified {
    /// The key's entry.
    pub fn key(&self) -> &Arc<KeyEntry> {
        &self.secret.key
    }

    /// The key's record, if the key, its ancestors and its owner may call at all.
    ///
    /// An ancestor that may not has the key refused as if it were revoked itself.
    pub fn permitted(
        &self,
        policy: &KeyPolicy,
        now: Moment,
    ) -> Result<arc_swap::Guard<Arc<KeyRecord>>, Reason> {
        let record = self.key().record(policy);
        permitted(self.key(), &record, &self.secret.end, now)?;
        Ok(record)
    }

    /// Until when its client should have a new secret: the end of this one's grace, or what the key's
    /// schedule asks for once it is due. `wall_ms` is asked for only where there is a schedule.
    pub fn rotate_by(&self, policy: &KeyPolicy, wall_ms: impl FnOnce() -> i64) -> Option<RotateBy> {
        let grace = self.secret.end.expiry.at_ms();
        let grace = grace.map(|ends_ms| RotateBy { ends_ms, stops: true });
        let record = self.key().record(policy);
        let Some(rotation) = &record.rotation else { return grace };
        let asked = rotation.asks(wall_ms());
        match (grace, asked) {
            (Some(grace), Some(asked)) if asked.stops && asked.ends_ms < grace.ends_ms => {
                Some(asked)
            }
            (Some(grace), _) => Some(grace),
            (None, asked) => asked,
        }
    }
}

/// Whether a request under way by that secret of a key may go on; if not, what the next one would be
/// refused with. Waits for nothing and allocates nothing: every open stream is asked about again and
/// again.
pub fn may_go_on(key: &KeyEntry, secret: PublicId, now: Moment) -> Result<(), Reason> {
    let record = key.row();
    let end = record.end_of(secret).ok_or(Reason::InvalidKey)?;
    permitted(key, &record, end, now)
}

/// Whether a key with this record may call at all by a secret that ends so.
fn permitted(
    key: &KeyEntry,
    record: &KeyRecord,
    end: &SecretEnd,
    now: Moment,
) -> Result<(), Reason> {
    if end.revoked {
        return Err(Reason::RevokedKey);
    }
    alive(key, record, now)?;
    if end.expiry.is_over(now.wall_ms) {
        return Err(Reason::ExpiredKey);
    }
    for ancestor in key.ancestors() {
        alive(ancestor, &ancestor.row(), now).map_err(|_| Reason::RevokedKey)?;
    }
    if record.owner.is_disabled() {
        return Err(Reason::OwnerDisabled);
    }
    Ok(())
}

fn alive(key: &KeyEntry, record: &KeyRecord, now: Moment) -> Result<(), Reason> {
    if key.is_removed() {
        return Err(Reason::InvalidKey);
    }
    if record.key.revoked_at.is_some() {
        return Err(Reason::RevokedKey);
    }
    if record.expiry.is_over(now.wall_ms) {
        return Err(Reason::ExpiredKey);
    }
    if record.rotation.as_ref().is_some_and(|rotation| rotation.has_stopped(now.wall_ms)) {
        return Err(Reason::ExpiredKey);
    }
    if record.key.disabled {
        return Err(Reason::DisabledKey);
    }
    Ok(())
}

impl Authenticator {
    /// Puts the parts together.
    pub fn new(sync: Arc<Sync>, pool: Argon2Pool, digests: DigestKey) -> Self {
        Self {
            sync,
            pool,
            macs: CacheMacs::default(),
            failures: FailedAuth::default(),
            digests,
            confirming: Mutex::default(),
            asking: Mutex::default(),
            unknown: Allowance::default(),
        }
    }

    /// Whose secret this is. A known one waits for nothing.
    pub async fn verify(
        &self,
        credential: &[u8],
        format: &SecretFormat,
        rules: &Rules,
        caller: Caller<'_>,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        let parsed = format.parse(credential);
        if let Some(parsed) = parsed
            && let Some(secret) = self.sync.table.secret(parsed.id)
            && let Some(known) = secret.digest()
            && self.digests.digest(credential).matches(known)
        {
            let secret = self.current(secret, rules, now).await?;
            caller.metrics.key_table(KeyTableResult::Hit);
            return Ok(Verified { secret });
        }
        self.verify_unknown(credential, parsed.map(|parsed| parsed.id), rules, caller, now).await
    }

    /// Counts a 401 with a credential against its address.
    pub fn failed(&self, rules: &Rules, client: IpAddr, now: Moment) {
        if let Some(limit) = rules.failed_auth_per_ip {
            self.failures.record(client, limit, now.monotonic_ms);
        }
    }

    /// What was not verified before: an address that failed too often is turned away first.
    async fn verify_unknown(
        &self,
        credential: &[u8],
        id: Option<PublicId>,
        rules: &Rules,
        caller: Caller<'_>,
        now: Moment,
    ) -> Result<Verified, Refusal> {
        let Caller { address, metrics } = caller;
        if let Some(limit) = rules.failed_auth_per_ip
            && let Some(retry_after) = self.failures.blocked(address, limit, now.monotonic_ms)
        {
            metrics.failed_auth_blocked();
            return Err(Refusal::RateLimited { limit, retry_after, reset_in_ms: None });
        }
        let Some(id) = id else {
            metrics.key_table(KeyTableResult::Malformed);
            return Err(Reason::InvalidKey.into());
        };
        let secret = self.find(id, rules, now).await.inspect_err(|refusal| {
            metrics.key_table(match refusal.reason() {
                Reason::InvalidKey => KeyTableResult::Unknown,
                _ => KeyTableResult::Unavailable,
            });
        })?;
        let digest = self.digests.digest(credential);
        match secret.digest() {
            Some(known) if digest.matches(known) => metrics.key_table(KeyTableResult::Hit),
            Some(_) => {
                metrics.key_table(KeyTableResult::Wrong);
                return Err(Reason::InvalidKey.into());
            }
            None => {
                metrics.key_table(KeyTableResult::Confirm);
                self.confirm(&secret, credential, digest).await?;
            }
        }
        Ok(Verified { secret })
    }

    /// The secret's entry, from the table or the store.
    async fn find(
        &self,
        id: PublicId,
        rules: &Rules,
        now: Moment,
    ) -> Result<Arc<SecretEntry>, Refusal> {
        if let Some(secret) = self.sync.table.secret(id) {
            return self.current(secret, rules, now).await;
        }
        if self.sync.state() != StoreState::Live && self.sync.settled().await != StoreState::Live {
            return Err(Reason::StoreUnavailable.into());
        }
        if self.sync.table.exists(id) {
            return self.load(id).await;
        }
        self.find_unknown(id, now).await
    }

    /// An id that the change feed has not told of, asked after at a bounded rate. However many
    /// requests come with it at once, it is one question: the burst that a fresh key begins with
    /// passes whole, and a flood of one made-up id costs no more than one request of it.
    async fn find_unknown(&self, id: PublicId, now: Moment) -> Result<Arc<SecretEntry>, Refusal> {
        let (question, _asked) = {
            let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
            match asking.get(&id) {
                Some(question) => (Arc::clone(question), None),
                None if !self.unknown.take(UNKNOWN_PER_SECOND, now.monotonic_ms) => {
                    return Err(Reason::InvalidKey.into());
                }
                None => {
                    let asked = Asked { asking: &self.asking, id };
                    (Arc::clone(asking.entry(id).or_default()), Some(asked))
                }
            }
        };
        question.get_or_init(|| self.load(id)).await.clone()
    }

    async fn load(&self, id: PublicId) -> Result<Arc<SecretEntry>, Refusal> {
        match self.sync.load(id).await {
            Found::Entry(secret) => Ok(secret),
            Found::Nothing => Err(Reason::InvalidKey.into()),
            Found::Unavailable => Err(Reason::StoreUnavailable.into()),
        }
    }

    /// The entry, if it may be trusted now. With the store in reach it may, since every change is
    /// told; an old one is read again on the side. Only where changes were missed must it be read
    /// again first.
    async fn current(
        &self,
        secret: Arc<SecretEntry>,
        rules: &Rules,
        now: Moment,
    ) -> Result<Arc<SecretEntry>, Refusal> {
        let state = match self.sync.state() {
            StoreState::Checking => self.sync.settled().await,
            settled => settled,
        };
        match state {
            StoreState::Away { since_ms }
                if now.monotonic_ms.saturating_sub(since_ms)
                    > rules.stale_if_down.as_millis() as u64 =>
            {
                Err(Reason::StoreUnavailable.into())
            }
            StoreState::Away { .. } | StoreState::Checking => Ok(secret),
            StoreState::Live if self.sync.table.doubts(&secret) => self.load(secret.id).await,
            StoreState::Live => {
                let age_ms = now.monotonic_ms.saturating_sub(secret.read_at_ms());
                if age_ms > rules.ttl.as_millis() as u64 {
                    self.sync.refresh(&secret);
                }
                Ok(secret)
            }
        }
    }

    /// Finds out whether the secret is right: once a secret, however many ask at once.
    async fn confirm(
        &self,
        secret: &SecretEntry,
        credential: &[u8],
        digest: Digest,
    ) -> Result<(), Refusal> {
        let gate = self.gate(secret.id);
        if Arc::strong_count(&gate) > WAITING_PER_ID {
            return Err(Reason::Overloaded.into());
        }
        let turn = gate.lock().await;
        // In this order: with the proof gone, the digest is there.
        let proof = secret.proof();
        let outcome = match (secret.digest(), proof) {
            (None, Some(proof)) => self.is_right(secret.id, &proof, credential).await,
            (known, _) => Ok(known.is_some_and(|known| digest.matches(known))),
        };
        if matches!(outcome, Ok(true)) {
            secret.confirm(digest);
        }
        drop(turn);
        self.leave(secret.id, &gate);
        match outcome {
            Ok(true) => Ok(()),
            Ok(false) => Err(Reason::InvalidKey.into()),
            Err(PoolError::Full) => Err(Reason::Overloaded.into()),
            Err(PoolError::Hash(error)) => {
                tracing::error!(%error, "a secret could not be checked");
                Err(Reason::InternalError.into())
            }
        }
    }

    /// By what an earlier confirmation has left, or else by Argon2.
    async fn is_right(
        &self,
        id: PublicId,
        proof: &Proof,
        credential: &[u8],
    ) -> Result<bool, PoolError> {
        if let Some(right) = self.macs.judge(id, proof, credential) {
            return Ok(right);
        }
        let right = self.pool.verify(credential, &proof.phc, id).await?;
        if right {
            self.macs.confirmed(id, proof, credential);
        }
        Ok(right)
    }

    fn gate(&self, id: PublicId) -> Arc<tokio::sync::Mutex<()>> {
        let mut confirming = self.confirming.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(confirming.entry(id).or_default())
    }

    /// The last one out closes the gate. One that is cut off while it waits leaves it to the next.
    fn leave(&self, id: PublicId, gate: &Arc<tokio::sync::Mutex<()>>) {
        let mut confirming = self.confirming.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::strong_count(gate) <= 2 {
            confirming.remove(&id);
        }
    }
}

/// Takes a question back when the one who asked it first has an answer, or has left.
struct Asked<'a> {
    asking: &'a Questions,
    id: PublicId,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.asking.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

/// So many a second and no more; the second begins with the first taken.
#[derive(Debug, Default)]
struct Allowance {
    /// The second in the upper half, how many were taken in it in the lower.
    taken: AtomicU64,
}

impl Allowance {
    fn take(&self, per_second: u64, now_ms: u64) -> bool {
        let second = now_ms / 1_000;
        let take = |taken: u64| match (taken >> 32, taken & u64::from(u32::MAX)) {
            (then, count) if then == second => (count < per_second).then_some(taken + 1),
            _ => Some((second << 32) | 1),
        };
        self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_spent_within_its_second_and_whole_in_the_next() {
        let allowance = Allowance::default();
        let taken = |now| (0..100).filter(|_| allowance.take(50, now)).count();
        assert_eq!(taken(10), 50);
        assert_eq!(taken(999), 0);
        assert_eq!(taken(1_000), 50);
    }
}
