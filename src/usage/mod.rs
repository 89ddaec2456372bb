//! The usage journal: every answered request, on disk before its answer begins, on the books soon.
//!
//! ```text
//!  worker ── Writer: 192 bytes into a mapped file, no system call ──▶ FOLDER/jrn_…/0-0.segment
//!                                                                         │ pread
//!  Supplier: makes segments ahead            Flusher: batches ────────────▶ Books::book
//! ```
//!
//! The one rule: a record's place in its worker's part of the journal is its name. The books say how
//! many records of each part they have, and take a batch only from there on; so it does not matter who
//! brings it and how often. A process that is killed leaves its folder behind, whose lock is free then,
//! and the next one to look brings what is left in it (`takeover`).
//!
//! What is in the files outlives the process, not the machine: nothing is synced.

mod flush;
mod folder;
mod journal;
mod kept;
mod lane;
mod map;
mod record;
mod routes;
mod segment;
mod shelf;
mod takeover;
mod tally;
mod writer;

pub use flush::run as keep_booking;
pub use journal::{Journal, JournalError, Sizes};
pub use kept::{Keeping, run as keep_tidy};
pub use record::{Line, RouteName};
pub use takeover::run as take_over_others;
pub use writer::{Place, Writer};

use std::sync::{Mutex, MutexGuard, PoisonError};

#[cfg(test)]
mod tests;

/// Nothing under these locks can be left half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
