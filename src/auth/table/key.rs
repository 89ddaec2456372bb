//! A key and an owner in the table: what outlives every reading of their rows.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderValue;

use super::record::{KeyRecord, header_value};
use super::{KeyPolicy, family};
use crate::domain::{KeyId, Owner, OwnerId};
use crate::limit::KeyCounters;
use crate::spend::{Purse, Terms, TermsStamp};

/// An owner in the table.
#[derive(Debug)]
pub struct OwnerEntry {
    /// Its id.
    pub id: OwnerId,
    /// The same as an identity header's value, shared by all its keys.
    pub value: HeaderValue,
    disabled: AtomicBool,
    credit_changes: AtomicI64,
}

/// A key in the table.
pub struct KeyEntry {
    /// Its id.
    pub id: KeyId,
    /// The key that bounds it.
    pub parent: Option<Arc<KeyEntry>>,
    pub(super) record: ArcSwap<KeyRecord>,
    /// What it may do under its ancestors, where it has any: see [`family`].
    pub(super) bounded: ArcSwapOption<family::Bounded>,
    pub(super) removed: AtomicBool,
    /// What it has counted.
    pub counters: KeyCounters,
    purse: OnceLock<Arc<Purse>>,
}

impl OwnerEntry {
    /// As it was read.
    pub(super) fn of(owner: &Owner) -> Self {
        Self {
            id: owner.id.clone(),
            value: header_value(owner.id.as_str()),
            disabled: AtomicBool::new(owner.disabled),
            credit_changes: AtomicI64::new(owner.credit_changes),
        }
    }

    /// Takes over another reading.
    pub(super) fn update(&self, owner: &Owner) {
        self.disabled.store(owner.disabled, Ordering::Release);
        self.credit_changes.store(owner.credit_changes, Ordering::Release);
    }

    /// Whether its keys are refused.
    pub fn is_disabled(&self) -> bool {
        self.disabled.load(Ordering::Acquire)
    }

    /// How often its credits were changed by somebody; above 0, its keys spend them.
    pub fn credit_changes(&self) -> i64 {
        self.credit_changes.load(Ordering::Acquire)
    }
}

impl KeyEntry {
    /// One that has counted nothing yet.
    pub(super) fn new(id: KeyId, parent: Option<Arc<Self>>, record: Arc<KeyRecord>) -> Self {
        Self {
            id,
            parent,
            record: ArcSwap::new(record),
            bounded: ArcSwapOption::empty(),
            removed: AtomicBool::new(false),
            counters: KeyCounters::default(),
            purse: OnceLock::new(),
        }
    }

    /// What it may spend here; made when it first has to.
    pub fn purse(&self) -> &Arc<Purse> {
        self.purse.get_or_init(|| Arc::new(Purse::new(self.id.clone())))
    }

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

    pub(super) fn is_under(&self, parent: Option<&Arc<KeyEntry>>) -> bool {
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
