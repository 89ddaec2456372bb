//! Ends by the wall clock: of keys, of secrets, and of the time to rotate.

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;

use super::KeyPolicy;
use crate::domain::{Key, RotationDue, Secret};

/// An end by the wall clock that stays reached once it was seen: a clock that jumps back revives
/// nothing.
#[derive(Debug)]
pub struct Expiry {
    /// [`NEVER`], where there is none.
    at_ms: i64,
    seen: AtomicBool,
}

/// No time of a store is as late as that.
const NEVER: i64 = i64::MAX;

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

impl Expiry {
    pub(super) fn new(at_ms: Option<i64>) -> Self {
        Self { at_ms: at_ms.unwrap_or(NEVER), seen: AtomicBool::new(false) }
    }

    /// Whether the end is reached, or was once.
    pub fn is_over(&self, wall_ms: i64) -> bool {
        if self.at_ms == NEVER {
            return false;
        }
        if self.at_ms <= wall_ms {
            self.seen.store(true, Ordering::Relaxed);
        }
        self.seen.load(Ordering::Relaxed)
    }

    /// The same end read again is reached if it was before.
    pub(super) fn remember(&self, before: &Self) {
        if self.at_ms == before.at_ms && before.seen.load(Ordering::Relaxed) {
            self.seen.store(true, Ordering::Relaxed);
        }
    }

    /// The end in milliseconds since the Unix epoch.
    pub fn at_ms(&self) -> Option<i64> {
        Some(self.at_ms).filter(|at_ms| *at_ms != NEVER)
    }
}

impl Clone for Expiry {
    fn clone(&self) -> Self {
        Self { at_ms: self.at_ms, seen: AtomicBool::new(self.seen.load(Ordering::Relaxed)) }
    }
}

impl Rotation {
    pub(super) fn of(
        key: &Key,
        newest_made: Option<Timestamp>,
        policy: &KeyPolicy,
    ) -> Option<Self> {
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
    pub(super) fn remember(&self, before: &Self) {
        self.due.remember(&before.due);
        self.ends.remember(&before.ends);
    }
}

impl SecretEnd {
    pub(super) fn of(secret: &Secret) -> Self {
        Self {
            expiry: Expiry::new(secret.expires_at.map(Timestamp::as_millisecond)),
            revoked: secret.revoked_at.is_some(),
        }
    }
}
