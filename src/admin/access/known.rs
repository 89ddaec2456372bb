//! What is remembered in memory of who has come in.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Entries held at most; past that all are forgotten, which costs each one question or hash.
const HELD: usize = 1_024;

/// A bounded memory. It only ever saves work: nobody is let in for being in it.
pub(super) struct Known<K, V>(Mutex<HashMap<K, V>>);

impl<K, V> Default for Known<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, V> Known<K, V> {
    /// What `look` says of the entry; `None` where there is none.
    pub(super) fn look<T>(&self, key: &K, look: impl FnOnce(&V) -> T) -> Option<T> {
        self.lock().get(key).map(look)
    }

    /// Whether there is an entry that `holds`.
    pub(super) fn has(&self, key: &K, holds: impl FnOnce(&V) -> bool) -> bool {
        self.look(key, holds).unwrap_or(false)
    }

    /// Puts an entry in, in place of the one before; the one before.
    pub(super) fn remember(&self, key: K, value: V) -> Option<V> {
        let mut entries = self.lock();
        if entries.len() >= HELD && !entries.contains_key(&key) {
            entries.clear();
        }
        entries.insert(key, value)
    }

    /// Takes an entry out.
    pub(super) fn forget(&self, key: &K) {
        self.lock().remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, V>> {
        // Nothing under the lock can be left half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_so_many_and_no_more() {
        let known = Known::default();
        for key in 0..HELD {
            assert_eq!(known.remember(key, key), None);
        }
        assert_eq!(known.remember(7, 8), Some(7), "one that is there needs no room");
        assert!(known.has(&0, |value| *value == 0));
        assert_eq!(known.remember(HELD, 0), None);
        assert!(!known.has(&0, |_| true) && known.has(&HELD, |_| true));
        known.forget(&HELD);
        assert!(!known.has(&HELD, |_| true));
    }
}
