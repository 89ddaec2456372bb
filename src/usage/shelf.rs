//! A worker's segments that it is not writing to: those that are full, one that is ready, and where to
//! read all of them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::journal::Sizes;
use super::segment::Segment;

/// The segments.
#[derive(Default)]
pub(super) struct Shelf {
    spare: Option<Segment>,
    /// In their order.
    full: Vec<Segment>,
    files: BTreeMap<u64, Arc<File>>,
    /// The place of the next one.
    next: u64,
}

/// Where segments are made, and how many.
pub(super) struct Making<'a> {
    pub(super) folder: &'a Path,
    pub(super) worker: u32,
    pub(super) sizes: Sizes,
    /// Bytes of all segments of the process.
    pub(super) bytes: &'a AtomicU64,
}

/// Whether there is a segment ready.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Supply {
    Ready,
    /// There are as many as may be, and none is booked yet.
    AtBound,
}

impl Shelf {
    /// The ready one, if it is.
    pub(super) fn take(&mut self) -> Option<Segment> {
        self.spare.take()
    }

    /// Puts a full one away.
    pub(super) fn put_away(&mut self, segment: Segment) {
        self.full.push(segment);
    }

    /// Has these read.
    pub(super) fn hold(&mut self, files: BTreeMap<u64, File>) {
        self.files.extend(files.into_iter().map(|(index, file)| (index, Arc::new(file))));
    }

    /// The file of a segment.
    pub(super) fn file(&self, index: u64) -> Option<Arc<File>> {
        self.files.get(&index).cloned()
    }

    /// The first of the segments from there on.
    pub(super) fn first_from(&self, index: u64) -> Option<u64> {
        self.files.range(index..).next().map(|(index, _)| *index)
    }

    /// Has a segment ready: one that is booked, or a new one. Of those that are booked one is kept for
    /// the next time.
    pub(super) fn supply(&mut self, booked: u64, making: &Making<'_>) -> io::Result<Supply> {
        let done = booked / making.sizes.records;
        let is_done = |segment: &Segment| segment.index < done;
        if self.spare.is_none() {
            let segment = match self.full.iter().position(is_done) {
                Some(place) => {
                    let segment = self.full.remove(place);
                    self.files.remove(&segment.index);
                    segment.recycle(making.folder, making.worker, self.next)?
                }
                None if making.takes_room() => match making.segment(self.next) {
                    Ok(segment) => segment,
                    Err(error) => {
                        making.give_back_room();
                        return Err(error);
                    }
                },
                None => return Ok(Supply::AtBound),
            };
            self.files.insert(self.next, Arc::clone(&segment.file));
            self.next += 1;
            self.spare = Some(segment);
        }
        while self.full.iter().filter(|segment| is_done(segment)).count() > 1 {
            let segment = self.full.remove(0);
            self.files.remove(&segment.index);
            segment.remove();
            making.give_back_room();
        }
        Ok(Supply::Ready)
    }
}

impl Making<'_> {
    fn segment(&self, index: u64) -> io::Result<Segment> {
        Segment::make(self.folder, self.worker, index, self.sizes.records)
    }

    fn takes_room(&self) -> bool {
        let (bytes, most) = (self.sizes.segment_bytes(), self.sizes.most_bytes);
        let more = |now: u64| (now + bytes <= most).then_some(now + bytes);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back_room(&self) {
        self.bytes.fetch_sub(self.sizes.segment_bytes(), Ordering::Relaxed);
    }
}
