//! Records added up while they are read: thousands of requests become a line for each key.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::lane::Lane;
use super::record::{self, Alike, BYTES, RouteName};
use crate::domain::{JournalId, LeaseId, Millionths, Used};
use crate::store::Batch;

/// Lines of one batch at most, about.
const LINES: usize = 20_000;
/// Requests of one batch at most, about, where each is kept by itself.
const REQUESTS: usize = 2_000;

/// What records come to.
#[derive(Default)]
pub(super) struct Tally {
    keeps_requests: bool,
    lines: HashMap<Alike, Sum>,
    leased: HashMap<LeaseId, i64>,
    requests: Vec<Used>,
    /// How many records are not there or cannot be read.
    pub(super) lost: u64,
    /// Why, of one of them.
    pub(super) why: Option<String>,
}

#[derive(Default)]
struct Sum {
    requests: u64,
    cost: i64,
}

impl Tally {
    /// Of nothing. `keeps_requests`: each is wanted by itself too.
    pub(super) fn new(keeps_requests: bool) -> Self {
        Self { keeps_requests, ..Self::default() }
    }

    /// Whether it is enough for a batch.
    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= LINES || self.requests.len() >= REQUESTS
    }

    /// So many records are lost.
    pub(super) fn lose(&mut self, records: u64, why: String) {
        self.lost += records;
        self.why = Some(why);
    }

    /// Adds the records that lie one behind the other, the first of them of that number.
    pub(super) fn add(
        &mut self,
        from: u64,
        records: &[[u8; BYTES]],
        path_of: impl Fn(RouteName) -> Option<Arc<str>>,
    ) {
        for (number, bytes) in (from..).zip(records) {
            let added = if record::is_committed(bytes, number) {
                self.add_one(bytes, &path_of)
            } else {
                Err("it is torn or of another place")
            };
            if let Err(why) = added {
                self.lose(1, format!("record {number}: {why}"));
            }
        }
    }

    fn add_one(
        &mut self,
        bytes: &[u8; BYTES],
        path_of: impl Fn(RouteName) -> Option<Arc<str>>,
    ) -> Result<(), &'static str> {
        let amounts = record::amounts(bytes)?;
        if self.keeps_requests {
            self.requests.push(record::decode(bytes, path_of)?);
        }
        let sum = self.lines.entry(record::alike(bytes)).or_default();
        sum.requests += 1;
        sum.cost = sum.cost.saturating_add(amounts.cost.get());
        if let Some((lease, amount)) = amounts.lease {
            let leased = self.leased.entry(lease).or_default();
            *leased = leased.saturating_add(amount.get());
        }
        Ok(())
    }

    /// All of it as the batch of the records from there to there. What no line can be made of is lost.
    pub(super) fn batch(
        &mut self,
        journal: JournalId,
        lane: &Lane,
        records: Range<u64>,
        path_of: impl Fn(RouteName) -> Option<Arc<str>>,
    ) -> Batch {
        let mut used = Vec::with_capacity(self.lines.len());
        for (alike, sum) in std::mem::take(&mut self.lines) {
            let cost = Millionths::new(sum.cost).unwrap_or_default();
            match record::line_of(&alike, sum.requests, cost, &path_of) {
                Ok(alike) => used.push(alike),
                Err(why) => self.lose(sum.requests, why.to_owned()),
            }
        }
        let amount = |(lease, sum)| Some((lease, Millionths::new(sum)?));
        Batch {
            journal,
            worker: lane.worker,
            from: records.start,
            to: records.end,
            used,
            leased: std::mem::take(&mut self.leased).into_iter().filter_map(amount).collect(),
            requests: std::mem::take(&mut self.requests),
        }
    }
}
