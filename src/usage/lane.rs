//! One worker's part of the journal, as its writer and the control plane share it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::lock;
use super::record::{self, RouteName};
use super::segment;
use super::shelf::Shelf;
use crate::domain::Used;

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

/// Records read, all up to a place.
pub(super) struct Read {
    /// How many records come before what was not read.
    pub(super) to: u64,
    /// What they say.
    pub(super) used: Vec<Used>,
    /// How many of them are not there or cannot be read.
    pub(super) lost: u64,
    /// Why, of one of them.
    pub(super) why: Option<String>,
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

    /// Reads on from a place, `most` records at most and not beyond `end`.
    pub(super) fn read(
        &self,
        from: u64,
        end: u64,
        most: u64,
        path_of: impl Fn(RouteName) -> Option<Arc<str>>,
    ) -> Read {
        let (index, slot) = (from / self.records, from % self.records);
        let (file, first) = {
            let segments = lock(&self.shelf);
            (segments.file(index), segments.first_from(index))
        };
        let Some(file) = file else {
            let to = first.map_or(end, |index| index * self.records).min(end);
            return Read::lost(from, to, "their segment is gone".to_owned());
        };
        let to = end.min(from + most).min((index + 1) * self.records);
        match segment::read(&file, slot, to - from) {
            Ok(records) => Read::of(from, &records, path_of),
            Err(error) => Read::lost(from, to, format!("their segment cannot be read: {error}")),
        }
    }
}

impl Read {
    /// Nothing of all these.
    fn lost(from: u64, to: u64, why: String) -> Self {
        Self { to, used: Vec::new(), lost: to - from, why: Some(why) }
    }

    fn of(
        from: u64,
        records: &[[u8; record::BYTES]],
        path_of: impl Fn(RouteName) -> Option<Arc<str>>,
    ) -> Self {
        let to = from + records.len() as u64;
        let mut read = Self { to, used: Vec::with_capacity(records.len()), lost: 0, why: None };
        for (number, bytes) in (from..).zip(records) {
            let used = if record::is_committed(bytes, number) {
                record::decode(bytes, &path_of)
            } else {
                Err("it is torn or of another place")
            };
            match used {
                Ok(used) => read.used.push(used),
                Err(why) => {
                    read.lost += 1;
                    read.why = Some(format!("record {number}: {why}"));
                }
            }
        }
        read
    }
}
