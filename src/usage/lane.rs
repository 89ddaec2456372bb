//! One worker's part of the journal, as its writer and the control plane share it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;
use super::record::RouteName;
use super::segment;
use super::shelf::Shelf;
use super::tally::Tally;

/// Records read at once at most.
const AT_ONCE: u64 = 1_024;

/// The part.
pub(super) struct Lane {
    pub(super) worker: u32,
    /// Records a segment.
    pub(super) records: u64,
    /// Records that are written; the writer's to move.
    written: AtomicU64,
    /// Records that are on the books; the flusher's to move.
    booked: AtomicU64,
    /// Requests refused because there was no room.
    refused: AtomicU64,
    pub(super) shelf: Mutex<Shelf>,
}

impl Lane {
    pub(super) fn new(worker: u32, records: u64) -> Self {
        let zero = AtomicU64::default;
        let shelf = Mutex::default();
        Self { worker, records, written: zero(), booked: zero(), refused: zero(), shelf }
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// What is in the files up to there may be read now.
    pub(super) fn set_written(&self, written: u64) {
        self.written.store(written, Ordering::Release);
    }

    pub(super) fn booked(&self) -> u64 {
        self.booked.load(Ordering::Acquire)
    }

    pub(super) fn set_booked(&self, booked: u64) {
        self.booked.store(booked, Ordering::Release);
    }

    pub(super) fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Adds up the records from a place on, to the end of its segment and not beyond `end`; the place
    /// behind them.
    pub(super) fn read(
        &self,
        from: u64,
        end: u64,
        path_of: impl Fn(RouteName) -> Option<Arc<str>>,
        tally: &mut Tally,
    ) -> u64 {
        let (index, slot) = (from / self.records, from % self.records);
        let (file, first) = {
            let segments = lock(&self.shelf);
            (segments.file(index), segments.first_from(index))
        };
        let Some(file) = file else {
            let to = first.map_or(end, |index| index * self.records).min(end);
            tally.lose(to - from, "their segment is gone".to_owned());
            return to;
        };
        let to = end.min(from + AT_ONCE).min((index + 1) * self.records);
        match segment::read(&file, slot, to - from) {
            Ok(records) => tally.add(from, &records, path_of),
            Err(error) => tally.lose(to - from, format!("their segment cannot be read: {error}")),
        }
        to
    }
}
