//! Books in memory that fail as they are told.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Mutex;

use async_trait::async_trait;
use jiff::Timestamp;

use super::lock;
use crate::domain::{JournalId, KeyId, Millionths, Month};
use crate::store::books::Kept;
use crate::store::{Batch, Booking, Books, Result, StoreError, UsageBy, UsageFilter, UsageRow};

/// How a booking fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing is done.
    Before,
    /// All is done and nobody hears of it.
    After,
}

#[derive(Default)]
pub(super) struct FakeBooks {
    pub(super) state: Mutex<State>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) positions: HashMap<(JournalId, u32), u64>,
    pub(super) ids: Vec<String>,
    /// Of all lines, which are added up by themselves.
    pub(super) requests: u64,
    pub(super) faults: VecDeque<Option<Fault>>,
    pub(super) released: Vec<JournalId>,
}

impl FakeBooks {
    pub(super) fn fail(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        lock(&self.state).faults.extend(faults);
    }

    pub(super) fn ids(&self) -> Vec<String> {
        let state = lock(&self.state);
        assert_eq!(state.requests, state.ids.len() as u64, "the sums are of the same requests");
        state.ids.clone()
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("as the test asked".to_owned())
}

#[async_trait]
impl Books for FakeBooks {
    async fn book(&self, batch: &Batch, _: Timestamp) -> Result<Booking> {
        let mut state = lock(&self.state);
        let fault = state.faults.pop_front().flatten();
        if fault == Some(Fault::Before) {
            return Err(away());
        }
        let position = state.positions.entry((batch.journal.clone(), batch.worker)).or_default();
        if *position != batch.from {
            return Ok(Booking::At(*position));
        }
        *position = batch.to;
        state.requests += batch.used.iter().map(|used| used.requests).sum::<u64>();
        state.ids.extend(batch.requests.iter().map(|used| used.request_id.clone()));
        if fault == Some(Fault::After) { Err(away()) } else { Ok(Booking::Done) }
    }

    async fn booked(&self, journal: &JournalId) -> Result<BTreeMap<u32, u64>> {
        let state = lock(&self.state);
        let of_it = state.positions.iter().filter(|((id, _), _)| id == journal);
        Ok(of_it.map(|((_, worker), booked)| (*worker, *booked)).collect())
    }

    async fn keep_journal(&self, _: &JournalId, _: Timestamp) -> Result<()> {
        Ok(())
    }

    async fn forget_journal(&self, journal: &JournalId) -> Result<()> {
        lock(&self.state).positions.retain(|(id, _), _| id != journal);
        Ok(())
    }

    async fn release_leases(&self, holder: &JournalId) -> Result<usize> {
        lock(&self.state).released.push(holder.clone());
        Ok(0)
    }

    async fn release_expired_leases(&self) -> Result<usize> {
        Ok(0)
    }

    async fn usage(&self, _: &UsageFilter, _: UsageBy) -> Result<Vec<UsageRow>> {
        Ok(Vec::new())
    }

    async fn spent(&self, _: &[KeyId], _: Month) -> Result<BTreeMap<KeyId, Millionths>> {
        Ok(BTreeMap::new())
    }

    async fn tidy_usage(&self, _: &Kept) -> Result<()> {
        Ok(())
    }
}
