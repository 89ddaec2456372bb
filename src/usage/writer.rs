//! What a worker writes its requests down with.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Notify;

use super::lane::Lane;
use super::lock;
use super::record::{self, Line};
use super::segment::Segment;

/// Writes records of one worker, whose thread alone has it.
///
/// A request takes its [`Place`] before it is forwarded, so that there is one for sure when its answer
/// has come.
pub struct Writer {
    lane: Arc<Lane>,
    /// Told when a segment was taken.
    supply: Arc<Notify>,
    /// Places that are taken and not filled yet.
    promised: Cell<u64>,
    /// Places that are free or taken.
    free: Cell<u64>,
    state: RefCell<State>,
}

struct State {
    /// The one that is written to first.
    segments: VecDeque<Segment>,
    /// The next place in it.
    slot: usize,
    /// The next record's number.
    number: u64,
}

/// A place for one record.
pub struct Place(Rc<Writer>);

impl Writer {
    pub(super) fn new(lane: Arc<Lane>, supply: Arc<Notify>) -> Self {
        let state = State { segments: VecDeque::new(), slot: 0, number: lane.written() };
        let (promised, free) = (Cell::default(), Cell::default());
        Self { lane, supply, promised, free, state: RefCell::new(state) }
    }

    /// Takes a place for a request of that key and owner; `None` where there is no room for it.
    pub fn reserve(self: &Rc<Self>, key: &str, owner: &str) -> Option<Place> {
        if !record::holds(key, owner) || (self.promised.get() >= self.free.get() && !self.refill())
        {
            self.lane.refuse();
            return None;
        }
        self.promised.set(self.promised.get() + 1);
        Some(Place(Rc::clone(self)))
    }

    /// Takes the segment that is ready, if there is one.
    #[cold]
    fn refill(&self) -> bool {
        let spare = lock(&self.lane.shelf).take();
        self.supply.notify_one();
        let Some(segment) = spare else { return false };
        self.state.borrow_mut().segments.push_back(segment);
        self.free.set(self.free.get() + self.lane.records);
        true
    }

    fn write(&self, line: &Line<'_>) {
        let mut state = self.state.borrow_mut();
        let record = record::encode(line, state.number);
        let slot = state.slot;
        let segment = state.segments.front_mut().expect("a place was taken, so there is room");
        segment.write(slot, &record);
        state.number += 1;
        state.slot += 1;
        self.free.set(self.free.get() - 1);
        self.lane.set_written(state.number);
        if state.slot as u64 == self.lane.records {
            state.slot = 0;
            if let Some(full) = state.segments.pop_front() {
                lock(&self.lane.shelf).put_away(full);
            }
        }
    }
}

impl Place {
    /// Writes the record. It outlives this process from here on.
    pub fn fill(self, line: &Line<'_>) {
        self.0.write(line);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.promised.set(self.0.promised.get() - 1);
    }
}
