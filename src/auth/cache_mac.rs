//! What spares a secret that was verified once its second Argon2, where the operator gives a cache
//! key: an HMAC-SHA-256 of it under that key, kept in the store beside its hash.
//!
//! The text is `{16 hex}.{64 hex}`: the first eight bytes of a MAC of the hash alone, and a MAC of
//! hash and secret. The first says that the second was made under this key for this hash, so that
//! a secret that does not fit it is wrong, and costs no Argon2 either; where it does not hold, the
//! key was replaced or the hash is another one, and Argon2 decides. Who has the store and not the
//! key can check no guess by it: see `docs/security.md`.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key, Tag};
use subtle::ConstantTimeEq as _;

use super::table::Proof;
use crate::domain::PublicId;
use crate::key::CacheKeys;
use crate::key::hex;
use crate::store::ConfirmedMac;

/// Before what is signed, so that no MAC of the one kind is one of the other.
const OF_HASH: &[u8] = b"keygate cache mac: hash\0";
/// As [`OF_HASH`].
const OF_SECRET: &[u8] = b"keygate cache mac: secret\0";
/// Bytes of the hash's MAC that are kept: it tells keys and hashes apart and guards nothing.
const MARK: usize = 8;
/// MACs that wait for the store at most. What is beyond costs its secret another Argon2 some day.
const WAITING: usize = 100_000;

/// The keys in force, and the MACs that the store has not got yet.
#[derive(Default)]
pub struct CacheMacs {
    keys: ArcSwapOption<Vec<Key>>,
    waiting: Mutex<Vec<ConfirmedMac>>,
}

impl CacheMacs {
    /// Puts keys in force, or none.
    pub fn replace_keys(&self, keys: Option<&CacheKeys>) {
        let keys = keys.map(|keys| keys.iter().map(|key| Key::new(HMAC_SHA256, key)).collect());
        self.keys.store(keys.map(Arc::new));
    }

    /// Whether the secret is right, by the MAC that an earlier confirmation left. `None`: it can't
    /// be told.
    pub fn judge(&self, id: PublicId, proof: &Proof, secret: &[u8]) -> Option<bool> {
        let (keys, mac) = (self.keys.load(), proof.cache_mac.as_deref()?);
        let (mark, rest) = mac.split_once('.')?;
        for (place, key) in keys.as_ref()?.iter().enumerate() {
            if mark != mark_of(key, &proof.phc) {
                continue;
            }
            let right = mac_of_secret(key, &proof.phc, secret);
            let right: bool = right.as_bytes().ct_eq(rest.as_bytes()).into();
            if right && place > 0 {
                self.confirmed(id, proof, secret);
            }
            return Some(right);
        }
        None
    }

    /// Has the store keep a MAC of a secret that was found right, under the key in force.
    pub fn confirmed(&self, id: PublicId, proof: &Proof, secret: &[u8]) {
        let keys = self.keys.load();
        let Some(key) = keys.as_ref().and_then(|keys| keys.first()) else { return };
        let phc = proof.phc.clone();
        let mac = format!("{}.{}", mark_of(key, &phc), mac_of_secret(key, &phc, secret));
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING {
            waiting.push(ConfirmedMac { secret: id, phc, mac });
        }
    }

    /// The MACs that the store has not got yet.
    pub(super) fn take(&self) -> Vec<ConfirmedMac> {
        std::mem::take(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// They could not be written and wait on.
    pub(super) fn put_back(&self, macs: Vec<ConfirmedMac>) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let room = WAITING.saturating_sub(waiting.len());
        waiting.extend(macs.into_iter().take(room));
    }
}

fn mark_of(key: &Key, phc: &str) -> String {
    hex::encode(&sign(key, &[OF_HASH, phc.as_bytes()]).as_ref()[..MARK])
}

fn mac_of_secret(key: &Key, phc: &str, secret: &[u8]) -> String {
    hex::encode(sign(key, &[OF_SECRET, phc.as_bytes(), b"\0", secret]).as_ref())
}

fn sign(key: &Key, parts: &[&[u8]]) -> Tag {
    let mut context = Context::with_key(key);
    for part in parts {
        context.update(part);
    }
    context.sign()
}
