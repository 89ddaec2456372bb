//! A secret in the table: how it is checked, and when it was used.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;

use super::expiry::SecretEnd;
use super::{KeyEntry, Moment};
use crate::domain::{LastUse, PublicId, Secret};
use crate::key::hash::Digest;

/// A secret in the table.
pub struct SecretEntry {
    /// Its public id.
    pub id: PublicId,
    /// Whose it is.
    pub key: Arc<KeyEntry>,
    /// When it ends.
    pub end: SecretEnd,
    /// Let go of with the confirmation: it takes more memory than all the rest of the entry.
    proof: ArcSwapOption<Proof>,
    hash: HashMark,
    pub(super) known: Arc<Known>,
    pub(super) epoch: u64,
    read_at_ms: u64,
    read_minute: u32,
    refresh_asked: AtomicBool,
}

/// What a secret that was not confirmed yet is checked by.
pub struct Proof {
    /// The Argon2id PHC string.
    pub phc: String,
    /// What an earlier confirmation left in the store.
    pub cache_mac: Option<String>,
}

/// Tells a hash from another: half a BLAKE3 of it.
#[derive(PartialEq, Eq)]
struct HashMark([u8; 16]);

/// What is known of a secret for as long as its hash is the same: shared with the entry that takes this
/// one's place, so that neither a confirmation nor a use that is under way when the row is read again
/// is lost.
#[derive(Default)]
pub(super) struct Known {
    digest: OnceLock<Digest>,
    /// Since the Unix epoch; 0: never. Written with `used_from` held, so that the two are of one use.
    used_minute: AtomicU32,
    flushed_minute: AtomicU32,
    pub(super) used_from: Mutex<Option<Ipv6Addr>>,
}

impl SecretEntry {
    /// A reading of its row, in the place of the one `before`.
    pub(super) fn read(
        secret: Secret,
        key: &Arc<KeyEntry>,
        before: Option<&Self>,
        epoch: u64,
        now: Moment,
    ) -> Self {
        let (hash, end) = (HashMark::of(&secret.phc), SecretEnd::of(&secret));
        let before = before.filter(|before| before.hash == hash);
        if let Some(before) = before {
            end.expiry.remember(&before.end.expiry);
        }
        let known = before.map(|before| Arc::clone(&before.known)).unwrap_or_default();
        let proof = Proof { phc: secret.phc, cache_mac: secret.cache_mac };
        let proof = known.digest.get().is_none().then_some(proof);
        Self {
            id: secret.id,
            key: Arc::clone(key),
            end,
            proof: ArcSwapOption::from_pointee(proof),
            hash,
            known,
            epoch,
            read_at_ms: now.monotonic_ms,
            read_minute: minute_of(now.wall_ms),
            refresh_asked: AtomicBool::new(false),
        }
    }

    /// The digest, once Argon2 has confirmed the secret.
    pub fn digest(&self) -> Option<&Digest> {
        self.known.digest.get()
    }

    /// What the secret is checked by. Where there is none, there is a digest.
    pub fn proof(&self) -> Option<Arc<Proof>> {
        self.proof.load_full()
    }

    /// Remembers the digest of the confirmed secret.
    pub fn confirm(&self, digest: Digest) {
        // Two confirmations of one secret have one digest.
        let _ = self.known.digest.set(digest);
        self.proof.store(None);
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
    pub(super) fn last_wanted_minute(&self) -> u32 {
        self.known.used_minute.load(Ordering::Relaxed).max(self.read_minute)
    }

    /// Notes a use, to the minute, and from where the first of that minute came. The line is written
    /// once a minute, not by every request.
    ///
    /// Nobody waits: where another is just writing or reading it, this use is left to the next one.
    pub fn used(&self, wall_ms: i64, client: IpAddr) {
        let (known, minute) = (&self.known, minute_of(wall_ms));
        if known.used_minute.load(Ordering::Relaxed) != minute
            && let Ok(mut from) = known.used_from.try_lock()
        {
            *from = Some(match client {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            });
            known.used_minute.store(minute, Ordering::Relaxed);
        }
    }

    /// The last use, where it was not taken before.
    pub(super) fn take_use(&self) -> Option<LastUse> {
        let known = &self.known;
        let minute = known.used_minute.load(Ordering::Relaxed);
        if known.flushed_minute.load(Ordering::Relaxed) == minute {
            return None;
        }
        let from = known.used_from.lock().unwrap_or_else(PoisonError::into_inner);
        let minute = known.used_minute.load(Ordering::Relaxed);
        known.flushed_minute.store(minute, Ordering::Relaxed);
        Some(LastUse {
            secret: self.id,
            at: Timestamp::from_millisecond(i64::from(minute) * 60_000).ok()?,
            from: from.map(|address| IpAddr::V6(address).to_canonical()),
        })
    }

    /// The last use is to be taken again.
    pub(super) fn put_back_use(&self) {
        self.known.flushed_minute.store(0, Ordering::Relaxed);
    }
}

impl HashMark {
    fn of(phc: &str) -> Self {
        let hash = blake3::hash(phc.as_bytes());
        Self(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"))
    }
}

/// Of the wall clock, before 1970 the first; 32 bits of minutes last for eight thousand years.
fn minute_of(wall_ms: i64) -> u32 {
    u32::try_from(wall_ms / 60_000).unwrap_or(0)
}
