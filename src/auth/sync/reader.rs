//! From the store into the table, many keys to a question.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Sync;
use crate::auth::table::KeyEntry;
use crate::domain::{KeyId, PublicId};
use crate::store::{Change, Loaded, Result, Store, StoreError};

/// Keys to a question at most: some milliseconds of work, for which a change waits.
pub(super) const BATCH: usize = 256;
/// The longest that the store may take over one question before it counts as away.
const ANSWER: Duration = Duration::from_secs(2);
/// The deepest family of keys; a longer chain is a cycle made by hand.
const MAX_DEPTH: usize = 16;

/// Reads for the synchroniser, which alone decides when.
pub(super) struct Reader {
    pub(super) sync: Arc<Sync>,
    pub(super) store: Arc<dyn Store>,
    pub(super) capacity: usize,
}

impl Reader {
    /// The set of all ids anew.
    pub(super) async fn read_ids(&self) -> Result<()> {
        self.sync.table.set_existing(self.store.public_ids().await?);
        Ok(())
    }

    /// The secrets that can do without Argon2, those to be read first at the end, so many as the
    /// table may hold.
    pub(super) async fn secrets_with_mac(&self) -> Result<Vec<PublicId>> {
        let mut secrets = self.store.secrets_with_mac(self.capacity).await?;
        secrets.reverse();
        Ok(secrets)
    }

    /// Has every entry read again before its next use; the secrets that are held.
    pub(super) fn doubt_everything(&self) -> Vec<PublicId> {
        self.sync.table.doubt_all();
        self.sync.table.secret_ids()
    }

    /// Takes over what changed. Keys that are held come first: one may be to be refused. Those that
    /// nobody has used here yet are only noted to exist.
    pub(super) async fn apply(&self, changes: &[Change]) -> Result<()> {
        let mut held: Vec<KeyId> = Vec::new();
        let mut others: Vec<KeyId> = Vec::new();
        for change in changes {
            match change {
                Change::Key(id) if self.sync.table.key(id).is_some() => held.push(id.clone()),
                Change::Key(id) => others.push(id.clone()),
                Change::Owner(id) if self.sync.table.holds_owner(id) => {
                    if let Some(owner) = within(self.store.owner(id.as_str())).await? {
                        self.sync.table.put_owner(&owner);
                    }
                }
                Change::Owner(_) => {}
            }
        }
        self.read_keys(&held).await?;
        for others in others.chunks(BATCH) {
            let secrets = within(self.store.secrets_of(others)).await?;
            self.sync.table.add_existing(secrets);
        }
        Ok(())
    }

    /// Reads keys that are held anew; those that are gone from the store go from the table.
    pub(super) async fn read_keys(&self, ids: &[KeyId]) -> Result<()> {
        for ids in ids.chunks(BATCH) {
            let read = within(self.store.load_keys(ids)).await;
            let Some(keys) = readable(read)? else {
                for id in ids {
                    self.read_key_alone(id).await?;
                }
                continue;
            };
            let found: HashSet<KeyId> = keys.iter().map(|read| read.key.key.id.clone()).collect();
            for unreadable in self.put_all(keys).await? {
                self.sync.table.remove_key(&unreadable);
            }
            for gone in ids.iter().filter(|id| !found.contains(id)) {
                self.sync.table.remove_key(gone);
            }
        }
        Ok(())
    }

    /// One unreadable row harms its own key only, which is not let in on what was read before.
    async fn read_key_alone(&self, id: &KeyId) -> Result<()> {
        let read = readable(within(self.store.load_key(id)).await)?.flatten();
        let is_read = match read {
            Some(key) => self.put_all(vec![key]).await?.is_empty(),
            None => false,
        };
        if !is_read {
            self.sync.table.remove_key(id);
        }
        Ok(())
    }

    /// Reads the keys of secrets, at most a batch; gives those secrets whose rows nobody can read. A
    /// secret that is held and gone from the store goes from the table.
    pub(super) async fn read_secrets(&self, ids: &[PublicId]) -> Result<HashSet<PublicId>> {
        let mut unreadable = HashSet::new();
        let read = within(self.store.load_by_secrets(ids)).await;
        let all_well = match readable(read)? {
            Some(keys) => self.put_all(keys).await?.is_empty(),
            None => false,
        };
        for id in ids.iter().filter(|_| !all_well) {
            let is_well = match readable(within(self.store.load_by_secret(*id)).await)? {
                Some(key) => self.put_all(key.into_iter().collect()).await?.is_empty(),
                None => false,
            };
            if !is_well {
                unreadable.insert(*id);
            }
        }
        let table = &self.sync.table;
        for id in ids {
            if table.secret(*id).is_some_and(|entry| table.doubts(&entry)) {
                table.remove_secret(*id);
            }
        }
        Ok(unreadable)
    }

    /// Lets go of what is beyond the table's capacity, but never of these.
    pub(super) fn make_room(&self, keep: &[PublicId]) {
        self.sync.table.evict_beyond(self.capacity, keep);
    }

    /// Puts keys in the table; gives those whose ancestors nobody can read.
    async fn put_all(&self, keys: Vec<Loaded>) -> Result<Vec<KeyId>> {
        let mut unreadable = Vec::new();
        let mut read: HashMap<KeyId, Loaded> = HashMap::with_capacity(keys.len());
        read.extend(keys.into_iter().map(|loaded| (loaded.key.key.id.clone(), loaded)));
        while let Some(id) = read.keys().next().cloned() {
            let Some(loaded) = read.remove(&id) else { continue };
            if readable(self.put(loaded, &mut read).await)?.is_none() {
                unreadable.push(id);
            }
        }
        Ok(unreadable)
    }

    /// Puts a key in the table, its ancestors first: those at hand in `read`, those in the table, or
    /// else from the store.
    async fn put(&self, loaded: Loaded, read: &mut HashMap<KeyId, Loaded>) -> Result<()> {
        let table = &self.sync.table;
        let mut family = vec![loaded];
        let mut above: Option<Arc<KeyEntry>> = None;
        while let Some(parent) = family.last().and_then(|young| young.key.key.parent_id.clone()) {
            if let Some(loaded) = read.remove(&parent) {
                family.push(loaded);
            } else if let Some(entry) = table.key(&parent).filter(|it| !table.doubts_key(it)) {
                above = Some(entry);
                break;
            } else {
                let missing = || corrupt(format!("the parent {parent} of a key is gone"));
                family.push(within(self.store.load_key(&parent)).await?.ok_or_else(missing)?);
            }
            if family.len() > MAX_DEPTH {
                return Err(corrupt(format!("the ancestors of key {parent}")));
            }
        }
        let (policy, now) = (self.sync.policy.load(), self.sync.now());
        while let Some(loaded) = family.pop() {
            let id = loaded.key.key.id.clone();
            table.put(loaded, above, &policy, now);
            above = table.key(&id);
        }
        Ok(())
    }
}

/// Waits for the store's answer, but not for ever: a frozen store is one that is away.
pub(super) async fn within<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| StoreError::Silent("no answer in time".to_owned());
    timeout(ANSWER, answer).await.map_err(late)?
}

fn corrupt(what: String) -> StoreError {
    StoreError::Corrupt(what)
}

/// `None` for what the store holds and nobody can read, which is told of; an outage is the caller's.
fn readable<T>(read: Result<T>) -> Result<Option<T>> {
    match read {
        Ok(read) => Ok(Some(read)),
        Err(error @ (StoreError::Corrupt(_) | StoreError::Conflict(_))) => {
            tracing::error!(%error, "a key could not be read");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
