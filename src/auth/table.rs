//! The key table: what was read of the store, ready for the hot path.
//!
//! Three maps: secrets by public id, keys, owners. An entry of a secret leads to its key's entry,
//! that to its owner's and its parent's, so that a change of one record changes one entry however
//! many others depend on it. What a key has counted stands in its entry and outlives every change
//! of its record. Only [`super::sync`] writes records here; requests read, and set digests.

mod family;

use std::collections::HashSet;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderValue;
use jiff::Timestamp;

use crate::domain::{
    Catalogue, Environment, Key, KeyId, LastUse, Limit, Owner, OwnerId, PublicId, RotationDue,
    ScopeSet, Secret,
};
use crate::key::hash::Digest;
use crate::limit::KeyCounters;
use crate::spend::{Purse, Terms, TermsStamp};
use crate::store::Loaded;

pub use family::Rights;

/// Milliseconds of a monotonic clock that began with the table, and of the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// For ages and windows.
    pub monotonic_ms: u64,
    /// For ends: milliseconds since the Unix epoch.
    pub wall_ms: i64,
}

/// The part of the configuration that keys are compiled with. A new generation compiles anew.
#[derive(Clone, Debug)]
pub struct KeyPolicy {
    /// Grows with every reload.
    pub generation: u64,
    /// The scopes that bits stand for.
    pub catalogue: Catalogue,
    /// For keys without limits of their own.
    pub per_key: Vec<Limit>,
    /// Whether test keys count.
    pub test_keys_count: bool,
    /// How long a rotation that a schedule asks for may be claimed.
    pub rotation_grace: Duration,
    /// Whether a key stops when that is over.
    pub enforce_rotation: bool,
}

/// An end by the wall clock that stays reached once it was seen: a clock that jumps back revives
/// nothing.
#[derive(Debug)]
pub struct Expiry {
    at_ms: Option<i64>,
    seen: AtomicBool,
}

/// What a key's schedule asks for: see [`RotationDue`].
#[derive(Clone, Debug)]
pub struct Rotation {
    due: Expiry,
    ends: Expiry,
    enforced: bool,
}

/// Until when a client should have a new secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotateBy {
    /// In milliseconds since the Unix epoch.
    pub ends_ms: i64,
    /// Whether the secret works no more from then on.
    pub stops: bool,
}

/// When a secret ends, be its key as it may.
#[derive(Clone, Debug)]
pub struct SecretEnd {
    /// The end of its grace.
    pub expiry: Expiry,
    /// Whether it was ended for good.
    pub revoked: bool,
}

/// An owner in the table.
#[derive(Debug)]
pub struct OwnerEntry {
    /// Its id.
    pub id: OwnerId,
    disabled: AtomicBool,
    credit_changes: AtomicI64,
}

/// A key in the table.
pub struct KeyEntry {
    /// Its id.
    pub id: KeyId,
    /// The key that bounds it.
    pub parent: Option<Arc<KeyEntry>>,
    record: ArcSwap<KeyRecord>,
    /// What it may do under its ancestors, where it has any: see [`family`].
    bounded: ArcSwapOption<family::Bounded>,
    removed: AtomicBool,
    /// What it has counted.
    pub counters: KeyCounters,
    /// What it may spend here.
    pub purse: Arc<Purse>,
}

/// One reading of a key's row, compiled.
pub struct KeyRecord {
    /// The row.
    pub key: Key,
    /// Its owner.
    pub owner: Arc<OwnerEntry>,
    /// When it ends by itself.
    pub expiry: Expiry,
    /// What its schedule asks for, where it has one.
    pub rotation: Option<Rotation>,
    /// When its newest secret was made.
    newest_made: Option<Timestamp>,
    /// Its scopes over the catalogue.
    pub scopes: ScopeSet,
    /// Whether its requests are counted at all.
    pub counted: bool,
    /// The limits that count for it.
    pub limits: Vec<Limit>,
    /// Its secrets, and when each ends.
    pub secrets: Vec<(PublicId, SecretEnd)>,
    /// What the upstream is told.
    pub identity: Identity,
    /// See [`KeyTable::doubt_all`].
    epoch: u64,
    generation: u64,
}

/// The values of the identity headers, ready to be cloned by reference count.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The key's id.
    pub key_id: HeaderValue,
    /// Its name.
    pub key_name: HeaderValue,
    /// Its owner's id.
    pub owner: HeaderValue,
    /// Its scopes as granted, space-separated.
    pub scopes: HeaderValue,
    /// `live` or `test`.
    pub env: HeaderValue,
    /// Its parent's id.
    pub parent: Option<HeaderValue>,
}

/// A secret in the table.
pub struct SecretEntry {
    /// Its public id.
    pub id: PublicId,
    /// Whose it is.
    pub key: Arc<KeyEntry>,
    /// The Argon2id PHC string.
    pub phc: String,
    /// What an earlier confirmation left in the store.
    pub cache_mac: Option<String>,
    /// When it ends.
    pub end: SecretEnd,
    /// Shared with the entry that takes this one's place, so that a confirmation that is under way
    /// when the row is read again is not lost.
    digest: Arc<OnceLock<Digest>>,
    epoch: u64,
    read_at_ms: u64,
    read_minute: i64,
    refresh_asked: AtomicBool,
    /// Written with `used_from` held, so that the two are of one use.
    used_minute: AtomicI64,
    used_from: Mutex<Option<Ipv6Addr>>,
    flushed_minute: AtomicI64,
}

/// Everything that is held of the store.
#[derive(Default)]
pub struct KeyTable {
    secrets: papaya::HashMap<PublicId, Arc<SecretEntry>>,
    keys: papaya::HashMap<KeyId, Arc<KeyEntry>>,
    owners: papaya::HashMap<OwnerId, Arc<OwnerEntry>>,
    existing: RwLock<HashSet<u64>>,
    /// How often everything was doubted: what was read in an earlier epoch may have changed since.
    epoch: AtomicU64,
}

impl Expiry {
    fn new(at_ms: Option<i64>) -> Self {
        Self { at_ms, seen: AtomicBool::new(false) }
    }

    /// Whether the end is reached, or was once.
    pub fn is_over(&self, wall_ms: i64) -> bool {
        let Some(at_ms) = self.at_ms else { return false };
        if at_ms <= wall_ms {
            self.seen.store(true, Ordering::Relaxed);
        }
        self.seen.load(Ordering::Relaxed)
    }

    /// The same end read again is reached if it was before.
    fn remember(&self, before: &Self) {
        if self.at_ms == before.at_ms && before.seen.load(Ordering::Relaxed) {
            self.seen.store(true, Ordering::Relaxed);
        }
    }

    /// The end in milliseconds since the Unix epoch.
    pub fn at_ms(&self) -> Option<i64> {
        self.at_ms
    }
}

impl Clone for Expiry {
    fn clone(&self) -> Self {
        Self { at_ms: self.at_ms, seen: AtomicBool::new(self.seen.load(Ordering::Relaxed)) }
    }
}

impl Rotation {
    fn of(key: &Key, newest_made: Option<Timestamp>, policy: &KeyPolicy) -> Option<Self> {
        let asked = RotationDue::of(key, newest_made?, policy.rotation_grace)?;
        let expiry = |at: Timestamp| Expiry::new(Some(at.as_millisecond()));
        let (due, ends) = (expiry(asked.due_at), expiry(asked.ends_at));
        Some(Self { due, ends, enforced: policy.enforce_rotation })
    }

    /// Whether the key has stopped for want of a new secret.
    pub fn has_stopped(&self, wall_ms: i64) -> bool {
        self.enforced && self.ends.is_over(wall_ms)
    }

    /// Until when a new secret is to be claimed, once it is asked for.
    pub fn asks(&self, wall_ms: i64) -> Option<RotateBy> {
        let ends_ms = self.ends.at_ms().filter(|_| self.due.is_over(wall_ms))?;
        Some(RotateBy { ends_ms, stops: self.enforced })
    }

    /// The same moments read again are reached if they were before.
    fn remember(&self, before: &Self) {
        self.due.remember(&before.due);
        self.ends.remember(&before.ends);
    }
}

impl SecretEnd {
    fn of(secret: &Secret) -> Self {
        Self {
            expiry: Expiry::new(secret.expires_at.map(Timestamp::as_millisecond)),
            revoked: secret.revoked_at.is_some(),
        }
    }
}

impl OwnerEntry {
    /// Whether its keys are refused.
    pub fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Acquire)
    }

    /// How often its credits were changed by somebody; above 0, its keys spend them.
    pub fn credit_changes(&self) -> i64 {
        self.credit_changes.load(Ordering::Acquire)
    }
}

impl KeyRecord {
    fn compile(
        key: Key,
        secrets: Vec<(PublicId, SecretEnd)>,
        newest_made: Option<Timestamp>,
        owner: Arc<OwnerEntry>,
        policy: &KeyPolicy,
        epoch: u64,
    ) -> Self {
        let limits = if key.limits.is_empty() { &policy.per_key } else { &key.limits };
        Self {
            expiry: Expiry::new(key.expires_at.map(Timestamp::as_millisecond)),
            rotation: Rotation::of(&key, newest_made, policy),
            newest_made,
            scopes: policy.catalogue.granted(&key.scopes),
            counted: key.environment == Environment::Live || policy.test_keys_count,
            limits: limits.clone(),
            identity: Identity::of(&key),
            epoch,
            generation: policy.generation,
            secrets,
            owner,
            key,
        }
    }

    /// Takes over which ends were reached.
    fn remember(&self, before: &Self) {
        self.expiry.remember(&before.expiry);
        if let (Some(rotation), Some(before)) = (&self.rotation, &before.rotation) {
            rotation.remember(before);
        }
        for (id, end) in &self.secrets {
            if let Some(before) = before.end_of(*id) {
                end.expiry.remember(&before.expiry);
            }
        }
    }

    /// When a secret of the key ends; `None`: it is none of the key's, or not any more.
    pub fn end_of(&self, secret: PublicId) -> Option<&SecretEnd> {
        self.secrets.iter().find(|(id, _)| *id == secret).map(|(_, end)| end)
    }
}

impl Identity {
    fn of(key: &Key) -> Self {
        Self {
            key_id: header_value(key.id.as_str()),
            key_name: header_value(&key.name),
            owner: header_value(key.owner_id.as_str()),
            scopes: header_value(&key.scopes.join(" ")),
            env: HeaderValue::from_static(key.environment.name()),
            parent: key.parent_id.as_ref().map(|id| header_value(id.as_str())),
        }
    }
}

/// Names are free of control characters when they are minted; what a hand wrote into the store
/// and no header can carry is left empty rather than refused.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text)
        .or_else(|_| HeaderValue::from_bytes(text.as_bytes()))
        .unwrap_or(HeaderValue::from_static(""))
}

impl KeyEntry {
    /// The key's record, compiled for the policy in force.
    pub fn record(&self, policy: &KeyPolicy) -> arc_swap::Guard<Arc<KeyRecord>> {
        let record = self.record.load();
        if record.generation == policy.generation {
            return record;
        }
        self.recompile(&record, policy);
        self.record.load()
    }

    /// The same for whichever policy it was compiled: for its row, its ends and its owner.
    pub fn row(&self) -> arc_swap::Guard<Arc<KeyRecord>> {
        self.record.load()
    }

    /// Whether the key was taken out of the table because the store has it no more. Nothing that
    /// changes reaches this entry from then on.
    pub fn is_removed(&self) -> bool {
        self.removed.load(Ordering::Acquire)
    }

    /// What requests of a key with this record are paid by; `None`: they are not paid for.
    pub fn terms<'a>(&self, record: &'a KeyRecord) -> Option<Terms<'a>> {
        if !record.counted {
            return None;
        }
        let changes = record.owner.credit_changes();
        let mut terms = TermsStamp::of_credits(changes);
        terms.bind(record.key.monthly_budget);
        let mut ancestor = self.parent.as_ref();
        while let Some(key) = ancestor {
            terms.bind(key.row().key.monthly_budget);
            ancestor = key.parent.as_ref();
        }
        let credits_of = (changes > 0).then_some(&record.owner.id);
        terms.stamp().map(|stamp| Terms { stamp, credits_of })
    }

    fn is_under(&self, parent: Option<&Arc<KeyEntry>>) -> bool {
        match (&self.parent, parent) {
            (Some(held), Some(parent)) => Arc::ptr_eq(held, parent),
            (held, parent) => held.is_none() && parent.is_none(),
        }
    }

    /// Compiles the same row for a new policy, unless it was replaced meanwhile.
    fn recompile(&self, record: &Arc<KeyRecord>, policy: &KeyPolicy) {
        let fresh = KeyRecord::compile(
            record.key.clone(),
            record.secrets.clone(),
            record.newest_made,
            Arc::clone(&record.owner),
            policy,
            record.epoch,
        );
        fresh.remember(record);
        self.record.compare_and_swap(record, Arc::new(fresh));
    }
}

impl SecretEntry {
    /// The digest, once Argon2 has confirmed the secret.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.get()
    }

    /// Remembers the digest of the confirmed secret.
    pub fn confirm(&self, digest: Digest) {
        // Two confirmations of one secret have one digest.
        let _ = self.digest.set(digest);
    }

    /// When the row was read, by the monotonic clock.
    pub fn read_at_ms(&self) -> u64 {
        self.read_at_ms
    }

    /// Whether this is the first to ask for a fresh reading.
    pub fn ask_refresh(&self) -> bool {
        !self.refresh_asked.load(Ordering::Relaxed)
            && !self.refresh_asked.swap(true, Ordering::Relaxed)
    }

    /// Lets a refresh be asked for again, after one that failed.
    pub fn refresh_failed(&self) {
        self.refresh_asked.store(false, Ordering::Relaxed);
    }

    /// The minute (since the Unix epoch) in which it was last used or read.
    fn last_wanted_minute(&self) -> i64 {
        self.used_minute.load(Ordering::Relaxed).max(self.read_minute)
    }

    /// Notes a use, to the minute, and from where the first of that minute came. The line is written
    /// once a minute, not by every request.
    ///
    /// Nobody waits: where another is just writing or reading it, this use is left to the next one.
    pub fn used(&self, wall_ms: i64, client: IpAddr) {
        let minute = wall_ms / 60_000;
        if self.used_minute.load(Ordering::Relaxed) != minute
            && let Ok(mut from) = self.used_from.try_lock()
        {
            *from = Some(match client {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            });
            self.used_minute.store(minute, Ordering::Relaxed);
        }
    }

    fn used_from(&self) -> Option<Ipv6Addr> {
        *self.used_from.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last use, where it was not taken before.
    fn take_use(&self) -> Option<LastUse> {
        let known = self.used_minute.load(Ordering::Relaxed);
        if self.flushed_minute.load(Ordering::Relaxed) == known {
            return None;
        }
        let from = self.used_from.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = self.used_minute.load(Ordering::Relaxed);
        self.flushed_minute.store(minute, Ordering::Relaxed);
        Some(LastUse {
            secret: self.id,
            at: Timestamp::from_millisecond(minute * 60_000).ok()?,
            from: from.map(|address| IpAddr::V6(address).to_canonical()),
        })
    }
}

impl KeyTable {
    /// A table that nobody keeps fresh, of keys of which a parent comes before its children: for
    /// saying what would become of a request without a running gateway, and for benchmarks.
    pub fn holding(
        keys: impl IntoIterator<Item = Loaded>,
        policy: &KeyPolicy,
        now: Moment,
    ) -> Self {
        let table = Self::default();
        table.hold(keys, policy, now);
        table
    }

    /// Adds more of such keys.
    pub fn hold(&self, keys: impl IntoIterator<Item = Loaded>, policy: &KeyPolicy, now: Moment) {
        for loaded in keys {
            let parent = loaded.key.key.parent_id.as_ref().and_then(|id| self.key(id));
            self.put(loaded, parent, policy, now);
        }
    }

    /// The entry of a secret.
    pub fn secret(&self, id: PublicId) -> Option<Arc<SecretEntry>> {
        self.secrets.pin().get(&id).cloned()
    }

    /// The entry of a key.
    pub fn key(&self, id: &KeyId) -> Option<Arc<KeyEntry>> {
        self.keys.pin().get(id).cloned()
    }

    /// How many secrets are held.
    pub fn len(&self) -> usize {
        self.secrets.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Whether a secret of that id was in the store when it was last looked at.
    pub fn exists(&self, id: PublicId) -> bool {
        self.existing.read().unwrap_or_else(PoisonError::into_inner).contains(&id.as_u64())
    }

    /// Replaces the set of all ids.
    pub(super) fn set_existing(&self, ids: impl IntoIterator<Item = PublicId>) {
        let ids = ids.into_iter().map(PublicId::as_u64).collect();
        *self.existing.write().unwrap_or_else(PoisonError::into_inner) = ids;
    }

    /// Adds ids to the set of all.
    pub(super) fn add_existing(&self, ids: impl IntoIterator<Item = PublicId>) {
        let ids = ids.into_iter().map(PublicId::as_u64);
        self.existing.write().unwrap_or_else(PoisonError::into_inner).extend(ids);
    }

    /// Puts a reading of a key with its secrets in force. `parent` is its parent's entry, which
    /// must be in the table first.
    pub(super) fn put(
        &self,
        loaded: Loaded,
        parent: Option<Arc<KeyEntry>>,
        policy: &KeyPolicy,
        now: Moment,
    ) {
        let owner = self.put_owner(&loaded.owner);
        let secrets: Vec<(PublicId, SecretEnd)> =
            loaded.key.secrets.iter().map(|secret| (secret.id, SecretEnd::of(secret))).collect();
        self.add_existing(secrets.iter().map(|(id, _)| *id));
        let newest_made = loaded.key.newest_secret().map(|secret| secret.created_at);
        let record = Arc::new(KeyRecord::compile(
            loaded.key.key,
            secrets,
            newest_made,
            owner,
            policy,
            self.epoch.load(Ordering::Acquire),
        ));
        let id = record.key.id.clone();
        let before = self.key(&id);
        if let Some(before) = &before {
            let row = before.row();
            record.remember(&row);
            let secrets = row.secrets.iter().map(|(id, _)| id);
            self.remove_secrets(secrets.filter(|id| record.end_of(**id).is_none()));
        }
        let entry = match before {
            Some(entry) if entry.is_under(parent.as_ref()) => {
                entry.record.store(record);
                entry
            }
            // Its parent's entry was taken out of the table, and no change reaches that any more.
            Some(orphan) => {
                orphan.removed.store(true, Ordering::Release);
                self.insert_key(id, parent, record)
            }
            None => self.insert_key(id, parent, record),
        };
        for secret in loaded.key.secrets {
            self.put_secret(secret, &entry, now);
        }
    }

    fn insert_key(
        &self,
        id: KeyId,
        parent: Option<Arc<KeyEntry>>,
        record: Arc<KeyRecord>,
    ) -> Arc<KeyEntry> {
        let entry = Arc::new(KeyEntry {
            purse: Arc::new(Purse::new(id.clone())),
            id: id.clone(),
            parent,
            record: ArcSwap::new(record),
            bounded: ArcSwapOption::empty(),
            removed: AtomicBool::new(false),
            counters: KeyCounters::default(),
        });
        self.keys.pin().insert(id, Arc::clone(&entry));
        entry
    }

    /// A secret keeps its digest as long as its hash is the same.
    fn put_secret(&self, secret: Secret, key: &Arc<KeyEntry>, now: Moment) {
        let before = self.secret(secret.id).filter(|before| before.phc == secret.phc);
        let digest = before.as_ref().map(|before| Arc::clone(&before.digest));
        let used = before.as_ref().map_or(0, |before| before.used_minute.load(Ordering::Relaxed));
        let flushed =
            before.as_ref().map_or(0, |before| before.flushed_minute.load(Ordering::Relaxed));
        let used_from = before.as_ref().and_then(|before| before.used_from());
        let entry = SecretEntry {
            end: SecretEnd::of(&secret),
            id: secret.id,
            key: Arc::clone(key),
            phc: secret.phc,
            cache_mac: secret.cache_mac,
            digest: digest.unwrap_or_default(),
            epoch: self.epoch.load(Ordering::Acquire),
            read_at_ms: now.monotonic_ms,
            read_minute: now.wall_ms / 60_000,
            refresh_asked: AtomicBool::new(false),
            used_minute: AtomicI64::new(used),
            used_from: Mutex::new(used_from),
            flushed_minute: AtomicI64::new(flushed),
        };
        if let Some(before) = before {
            entry.end.expiry.remember(&before.end.expiry);
        }
        self.secrets.pin().insert(secret.id, Arc::new(entry));
    }

    /// Puts a reading of an owner in force for all its keys at once.
    pub(super) fn put_owner(&self, owner: &Owner) -> Arc<OwnerEntry> {
        let owners = self.owners.pin();
        let entry = owners.get_or_insert_with(owner.id.clone(), || {
            Arc::new(OwnerEntry {
                id: owner.id.clone(),
                disabled: AtomicBool::new(owner.disabled),
                credit_changes: AtomicI64::new(owner.credit_changes),
            })
        });
        entry.disabled.store(owner.disabled, Ordering::Release);
        entry.credit_changes.store(owner.credit_changes, Ordering::Release);
        Arc::clone(entry)
    }

    /// Whether an owner of that id has keys in the table.
    pub(super) fn holds_owner(&self, id: &OwnerId) -> bool {
        self.owners.pin().contains_key(id)
    }

    /// Takes a key that is gone from the store out of the table, with its secrets. What is under way
    /// by it, or by a child of it, is told.
    pub(super) fn remove_key(&self, id: &KeyId) {
        if let Some(entry) = self.key(id) {
            entry.removed.store(true, Ordering::Release);
            self.remove_secrets(entry.record.load().secrets.iter().map(|(id, _)| id));
            self.keys.pin().remove(id);
        }
    }

    /// Takes a secret that is gone from the store out of the table and the set of all.
    pub(super) fn remove_secret(&self, id: PublicId) {
        self.remove_secrets([id].iter());
    }

    /// Takes secrets that are gone from the store out of the table and the set of all.
    fn remove_secrets<'a>(&self, ids: impl Iterator<Item = &'a PublicId>) {
        let secrets = self.secrets.pin();
        let mut existing = self.existing.write().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            secrets.remove(id);
            existing.remove(&id.as_u64());
        }
    }

    /// The secrets that are held.
    pub(super) fn secret_ids(&self) -> Vec<PublicId> {
        self.secrets.pin().keys().copied().collect()
    }

    /// Doubts whatever was read until now.
    pub(super) fn doubt_all(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a secret's key or any of its ancestors may have changed since it was read.
    pub fn doubts(&self, secret: &SecretEntry) -> bool {
        let epoch = self.epoch.load(Ordering::Acquire);
        secret.epoch < epoch || doubts_family(secret.key.parent.as_ref(), epoch)
    }

    /// The same of a key.
    pub fn doubts_key(&self, key: &Arc<KeyEntry>) -> bool {
        doubts_family(Some(key), self.epoch.load(Ordering::Acquire))
    }

    /// Uses since the last call.
    pub(super) fn take_uses(&self) -> Vec<LastUse> {
        self.secrets.pin().values().filter_map(|secret| secret.take_use()).collect()
    }

    /// Uses that could not be written are taken by the next call again.
    pub(super) fn put_back_uses(&self, uses: &[LastUse]) {
        for used in uses {
            if let Some(secret) = self.secret(used.secret) {
                secret.flushed_minute.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Lets the least recently used secrets go until at most `capacity` are held, but never `keep`,
    /// which were just asked for; and the keys that nothing refers to any more, with what they have
    /// counted. A request under way refers to its key: what happens to it is told to this entry alone.
    pub(super) fn evict_beyond(&self, capacity: usize, keep: &[PublicId]) {
        let excess = self.secrets.len().saturating_sub(capacity.max(1));
        if excess == 0 {
            return;
        }
        let secrets = self.secrets.pin();
        let keep: HashSet<&PublicId> = keep.iter().collect();
        let others = secrets.iter().filter(|(id, _)| !keep.contains(id));
        let mut by_use: Vec<(i64, PublicId)> =
            others.map(|(id, secret)| (secret.last_wanted_minute(), *id)).collect();
        // One pass makes room for a while: an eighth more than is asked for.
        let gone = (excess + capacity / 8).min(by_use.len());
        if gone < by_use.len() {
            by_use.select_nth_unstable(gone);
        }
        for (_, id) in &by_use[..gone] {
            secrets.remove(id);
        }
        drop(secrets);
        // Its secrets that are held refer to a key, its children, and requests under way. So does, for
        // as long as somebody may be looking at it, a secret that is gone: until a later pass.
        self.keys.pin().retain(|_, key| Arc::strong_count(key) > 1);
    }
}

fn doubts_family(mut youngest: Option<&Arc<KeyEntry>>, epoch: u64) -> bool {
    while let Some(key) = youngest.filter(|_| epoch > 0) {
        if key.record.load().epoch < epoch {
            return true;
        }
        youngest = key.parent.as_ref();
    }
    false
}

#[cfg(test)]
mod tests;
