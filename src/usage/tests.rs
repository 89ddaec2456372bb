//! Journals of processes that are not there, on books in memory.

mod crashes;
mod fake;
mod journals;
mod records;

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use self::fake::FakeBooks;
use super::journal::{Journal, Sizes};
use super::kept::Keeping;
use super::lock;
use super::record::{Line, RouteName};
use super::takeover::Abandoned;
use super::writer::Writer;
use crate::domain::{Clock, LeaseId, Millionths};
use crate::store::Result;

/// Two records a segment, so that they are made and used again all the time.
const SMALL: Sizes = Sizes { records: 2, most_bytes: 1 << 20 };

fn line(request_id: &str) -> Line<'_> {
    Line {
        at_ms: 1_795_955_400_123,
        request_id: request_id.as_bytes(),
        key: "key_01jzzzzzzzzzzzzzzzzzzzzzzz",
        owner: "default",
        route: RouteName::of("/a"),
        status: 200,
        cost: Millionths::new(2_000).unwrap(),
        lease: LeaseId::from_number(-7).map(|id| (id, Millionths::new(1_500).unwrap())),
    }
}

fn wait<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// A process with one worker.
struct Process {
    journal: Arc<Journal>,
    writer: Rc<Writer>,
}

impl Process {
    fn start(parent: &Path, sizes: Sizes) -> Self {
        let journal = Journal::start(parent, 1, sizes).unwrap();
        journal.know_routes(["/a"].into_iter()).unwrap();
        journal.keep(Keeping { requests: Duration::from_hours(1), ..Keeping::default() });
        Self { writer: journal.writer(0), journal }
    }

    /// Writes a record; whether there was room.
    fn write(&self, id: &str) -> bool {
        let place = self.writer.reserve("key_1", "default");
        // What another task does.
        let _ = self.journal.supply_all();
        place.map(|place| place.fill(&line(id))).is_some()
    }

    fn flush(&self, books: &FakeBooks) -> Result<()> {
        let flushed = wait(self.journal.book_written(books, &Clock::system()));
        let _ = self.journal.supply_all();
        flushed
    }

    /// Where its files are.
    fn segment(&self, index: u64) -> PathBuf {
        self.journal.path().join(format!("0-{index}.segment"))
    }
}

/// Takes over everything that is left, once; whether all of it is booked.
fn take_over(parent: &Path, books: &FakeBooks) -> bool {
    let mut all = true;
    for abandoned in Abandoned::all_under(parent).unwrap() {
        match wait(abandoned.book(true, books, &Clock::system())) {
            Ok(()) => wait(abandoned.finish(books)),
            Err(_) => all = false,
        }
    }
    all
}
