//! From the journal to the books, in batches and without anybody waiting.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::folder::Folder;
use super::journal::{Journal, Progress};
use super::lane::Lane;
use super::record::RouteName;
use super::tally::Tally;
use crate::domain::{Clock, JournalId};
use crate::store::{Booking, Books, Result, Store};

/// How often it is looked whether there is something to book, where booking is quick.
const LOOK: Duration = Duration::from_millis(250);
/// The pause is so many times as long as the booking before it took: the more keys are in use, the more
/// of their requests are added up before they are booked, and the store is never busy with it for more
/// than a small part of the time.
const REST: u32 = 40;
/// The longest pause: what the books are behind by.
const LONGEST: Duration = Duration::from_secs(10);
/// The longest one while the store is away.
const LONGEST_AWAY: Duration = Duration::from_secs(5);
/// Between pieces of adding up, each some hundred microseconds: a worker that shares the core is not kept
/// from its requests for longer.
const BREATH: Duration = Duration::from_millis(1);

/// Books what is written, for ever.
pub async fn run(journal: Arc<Journal>, store: Arc<dyn Store>, clock: Clock) {
    let mut pause = LOOK;
    let mut away = false;
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = journal.flush.notified() => {}
        }
        let begun = Instant::now();
        let booked = journal.book_written(&*store, &clock).await;
        match (&booked, away) {
            (Err(error), false) => {
                tracing::warn!(%error, "usage cannot be booked now; it is kept in the journal");
            }
            (Ok(()), true) => tracing::info!("usage is booked again"),
            _ => {}
        }
        away = booked.is_err();
        pause = if away {
            LONGEST_AWAY.min(pause * 2)
        } else {
            (begun.elapsed() * REST).clamp(LOOK, LONGEST)
        };
        let failed = booked.err().map(|error| error.to_string().into());
        journal.progress.send_replace(Progress { failed });
    }
}

impl Journal {
    /// Waits until all that is written now is on the books; the error says why it is not.
    pub async fn flush_now(&self) -> Result<(), Arc<str>> {
        let wanted: Vec<u64> = self.lanes().iter().map(|lane| lane.written()).collect();
        let mut progress = self.progress.subscribe();
        self.flush.notify_one();
        loop {
            let mut lanes = self.lanes().iter().zip(&wanted);
            if lanes.all(|(lane, wanted)| lane.booked() >= *wanted) {
                return Ok(());
            }
            if progress.changed().await.is_err() {
                return Err("the gateway is ending".into());
            }
            if let Some(failed) = progress.borrow_and_update().failed.clone() {
                return Err(failed);
            }
        }
    }

    /// Books what is left and removes the folder, at the end; what cannot be booked now is left to
    /// the next process.
    pub async fn close(&self, store: &dyn Books, clock: &Clock) {
        if let Err(error) = self.book_and_release(store, clock).await {
            tracing::warn!(%error, "usage is left in the journal, for the next start to book");
        } else if let Some(folder) = self.take_folder() {
            remove(folder, self.id(), store).await;
        }
    }

    /// What is left of the leases flows back once all that was spent of them is booked.
    async fn book_and_release(&self, store: &dyn Books, clock: &Clock) -> Result<()> {
        self.book_written(store, clock).await?;
        store.release_leases(self.id()).await.map(drop)
    }

    pub(super) async fn book_written(&self, store: &dyn Books, clock: &Clock) -> Result<()> {
        for lane in self.lanes() {
            let part =
                Part { journal: self.id(), lane, keep_requests: self.keeping().keeps_requests() };
            let before = lane.booked();
            let booked = part.book(lane.written(), |name| self.path_of(name), store, clock).await;
            if lane.booked() / lane.records != before / lane.records {
                self.wants_supply();
            }
            booked?;
        }
        Ok(())
    }
}

/// Removes a journal that is booked whole: first the folder, since one without its row would be booked
/// once more.
pub(super) async fn remove(folder: Folder, journal: &JournalId, store: &dyn Books) {
    if let Err(error) = folder.remove() {
        tracing::warn!(%error, %journal, "a usage journal that is booked could not be removed");
    } else if let Err(error) = store.forget_journal(journal).await {
        tracing::debug!(%error, %journal, "the row of a journal is left for later");
    }
}

/// One worker's part of a journal on its way to the books.
pub(super) struct Part<'a> {
    pub(super) journal: &'a JournalId,
    pub(super) lane: &'a Lane,
    pub(super) keep_requests: bool,
}

impl Part<'_> {
    /// Books up to a place, from wherever the books are.
    pub(super) async fn book(
        &self,
        end: u64,
        path_of: impl Fn(RouteName) -> Option<Arc<str>>,
        store: &dyn Books,
        clock: &Clock,
    ) -> Result<()> {
        let lane = self.lane;
        while lane.booked() < end {
            let from = lane.booked();
            let mut tally = Tally::new(self.keep_requests);
            let mut to = from;
            while to < end && !tally.is_full() {
                to = lane.read(to, end, &path_of, &mut tally);
                if to < end {
                    sleep(BREATH).await;
                }
            }
            let batch = tally.batch(self.journal.clone(), lane, from..to, &path_of);
            match store.book(&batch, clock.now()).await? {
                Booking::Done => lane.set_booked(to),
                Booking::At(elsewhere) => {
                    lane.set_booked(elsewhere);
                    continue;
                }
            }
            if tally.lost > 0 {
                let (journal, worker) = (self.journal, lane.worker);
                let (lost, why) = (tally.lost, tally.why);
                tracing::error!(%journal, worker, lost, why, "records of usage cannot be read");
            }
        }
        Ok(())
    }
}
