//! The key table: what was read of the store, ready for the hot path.
//!
//! Three maps: secrets by public id, keys, owners. An entry of a secret leads to its key's entry,
//! that to its owner's and its parent's, so that a change of one record changes one entry however
//! many others depend on it. What a key has counted stands in its entry and outlives every change
//! of its record. Only [`super::sync`] writes records here; requests read, and set digests.

mod expiry;
mod family;
mod key;
mod record;
mod secret;

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::domain::{Catalogue, KeyId, LastUse, Limit, Owner, OwnerId, PublicId, Secret};
use crate::store::Loaded;

pub use expiry::{Expiry, RotateBy, Rotation, SecretEnd};
pub use family::Rights;
pub use key::{KeyEntry, OwnerEntry};
pub use record::{Identity, KeyRecord};
pub use secret::{Proof, SecretEntry};

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
    pub per_key: Arc<[Limit]>,
    /// Whether test keys count.
    pub test_keys_count: bool,
    /// How long a rotation that a schedule asks for may be claimed.
    pub rotation_grace: Duration,
    /// Whether a key stops when that is over.
    pub enforce_rotation: bool,
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
        let secrets: Box<[(PublicId, SecretEnd)]> =
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
        let entry = Arc::new(KeyEntry::new(id.clone(), parent, record));
        self.keys.pin().insert(id, Arc::clone(&entry));
        entry
    }

    /// A secret keeps its digest as long as its hash is the same.
    fn put_secret(&self, secret: Secret, key: &Arc<KeyEntry>, now: Moment) {
        let (id, before) = (secret.id, self.secret(secret.id));
        let epoch = self.epoch.load(Ordering::Acquire);
        let entry = SecretEntry::read(secret, key, before.as_deref(), epoch, now);
        self.secrets.pin().insert(id, Arc::new(entry));
    }

    /// Puts a reading of an owner in force for all its keys at once.
    pub(super) fn put_owner(&self, owner: &Owner) -> Arc<OwnerEntry> {
        let owners = self.owners.pin();
        let make = || Arc::new(OwnerEntry::of(owner));
        let entry = owners.get_or_insert_with(owner.id.clone(), make);
        entry.update(owner);
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
                secret.put_back_use();
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
        let mut by_use: Vec<(u32, PublicId)> =
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
