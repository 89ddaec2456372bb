//! A process's journal: its folder, a lane for each worker, and segments made ahead for them.

use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::folder::Folder;
use super::kept::Keeping;
use super::lane::Lane;
use super::lock;
use super::record::{BYTES, RouteName};
use super::routes::Routes;
use super::shelf::{Making, Supply};
use super::writer::Writer;
use crate::domain::JournalId;

/// After how long it is looked again whether there is room on the disk.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How large it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Records a segment.
    pub records: u64,
    /// Bytes of all segments together.
    pub most_bytes: u64,
}

impl Sizes {
    /// Segments of 3 MiB, and of all that is not booked yet 2 GiB at most; but of so many workers each
    /// may have four.
    pub fn of(workers: usize) -> Self {
        let sizes = Self { records: 16_384, most_bytes: 2 << 30 };
        let least = 4 * sizes.segment_bytes() * workers as u64;
        Self { most_bytes: sizes.most_bytes.max(least), ..sizes }
    }

    pub(super) fn segment_bytes(self) -> u64 {
        self.records * BYTES as u64
    }
}

/// Why there is no journal.
#[derive(Debug, Error)]
#[error(
    "the usage journal cannot be kept in {}: {source}; let keygate write there, make room on its disk, \
     or name another folder in `usage.journal`",
    folder.display()
)]
pub struct JournalError {
    folder: PathBuf,
    source: io::Error,
}

/// What it says of itself for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records written.
    pub written: u64,
    /// Records on the books.
    pub booked: u64,
    /// Requests refused because there was no room.
    pub refused: u64,
    /// Bytes of all segments.
    pub bytes: u64,
}

/// A process's journal.
pub struct Journal {
    id: JournalId,
    parent: PathBuf,
    folder: Mutex<Option<Folder>>,
    path: PathBuf,
    lanes: Box<[Arc<Lane>]>,
    sizes: Sizes,
    bytes: AtomicU64,
    routes: Mutex<Routes>,
    keeping: Mutex<Keeping>,
    supply: Arc<Notify>,
    /// Told when somebody waits for all that is written to be on the books.
    pub(super) flush: Notify,
    pub(super) progress: watch::Sender<Progress>,
}

/// How booking goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Progress {
    /// Why the last round ended early, if it did.
    pub(super) failed: Option<Arc<str>>,
}

impl Journal {
    /// Begins a journal in a folder of its own under that one, for so many workers.
    pub fn start(parent: &Path, workers: usize, sizes: Sizes) -> Result<Arc<Self>, JournalError> {
        Self::begin(parent, workers, sizes)
            .map_err(|source| JournalError { folder: parent.to_owned(), source })
    }

    fn begin(parent: &Path, workers: usize, sizes: Sizes) -> io::Result<Arc<Self>> {
        let id = JournalId::mint();
        let folder = Folder::create(parent, &id)?;
        let path = folder.path().to_owned();
        let lane = |worker| Arc::new(Lane::new(worker as u32, sizes.records));
        let journal = Self {
            routes: Mutex::new(Routes::create(&path)?),
            id,
            parent: parent.to_owned(),
            folder: Mutex::new(Some(folder)),
            path,
            lanes: (0..workers).map(lane).collect(),
            sizes,
            bytes: AtomicU64::new(0),
            keeping: Mutex::default(),
            supply: Arc::default(),
            flush: Notify::new(),
            progress: watch::Sender::default(),
        };
        journal.supply_all()?;
        Ok(Arc::new(journal))
    }

    /// Its name, by which leases name their holder.
    pub fn id(&self) -> &JournalId {
        &self.id
    }

    /// What the worker of that index writes with. There is one for each.
    pub fn writer(&self, worker: usize) -> Rc<Writer> {
        Rc::new(Writer::new(Arc::clone(&self.lanes[worker]), Arc::clone(&self.supply)))
    }

    /// Writes down the paths of routes, which must be done before any of their requests is.
    pub fn know_routes<'p>(
        &self,
        paths: impl Iterator<Item = &'p str>,
    ) -> Result<(), JournalError> {
        let added = lock(&self.routes).add(paths);
        added.map_err(|source| JournalError { folder: self.parent.clone(), source })
    }

    /// Says how long usage is kept from now on.
    pub fn keep(&self, keeping: Keeping) {
        *lock(&self.keeping) = keeping;
    }

    pub(super) fn keeping(&self) -> Keeping {
        *lock(&self.keeping)
    }

    /// What the metrics tell of it.
    pub fn totals(&self) -> Totals {
        let sum = |of: fn(&Lane) -> u64| self.lanes.iter().map(|lane| of(lane)).sum();
        Totals {
            booked: sum(Lane::booked),
            written: sum(Lane::written),
            refused: sum(Lane::refused),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    pub(super) fn parent(&self) -> &Path {
        &self.parent
    }

    #[cfg(test)]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn lanes(&self) -> &[Arc<Lane>] {
        &self.lanes
    }

    pub(super) fn path_of(&self, name: RouteName) -> Option<Arc<str>> {
        lock(&self.routes).path(name)
    }

    /// Has segments looked after.
    pub(super) fn wants_supply(&self) {
        self.supply.notify_one();
    }

    /// Gives up the folder, once all of it is booked; whether it was there.
    pub(super) fn take_folder(&self) -> Option<Folder> {
        lock(&self.folder).take()
    }

    /// Has a segment ready for each worker, for ever.
    pub async fn keep_supplied(self: Arc<Self>) {
        let mut lacking = false;
        loop {
            tokio::select! {
                () = self.supply.notified() => {}
                () = sleep(LOOK_AGAIN), if lacking => {}
            }
            let this = Arc::clone(&self);
            let supplied = tokio::task::spawn_blocking(move || this.supply_all()).await;
            let supplied = supplied.unwrap_or_else(|error| Err(io::Error::other(error)));
            match (&supplied, lacking) {
                (Err(error), false) => tracing::error!(
                    %error,
                    folder = %self.path.display(),
                    "the usage journal has no more room; requests are refused when what it has is used"
                ),
                (Ok(()), true) => tracing::info!("the usage journal has room again"),
                _ => {}
            }
            lacking = supplied.is_err();
        }
    }

    pub(super) fn supply_all(&self) -> io::Result<()> {
        let mut outcome = Ok(());
        for lane in &self.lanes {
            let making = Making {
                folder: &self.path,
                worker: lane.worker,
                sizes: self.sizes,
                bytes: &self.bytes,
            };
            match lock(&lane.shelf).supply(lane.booked(), &making) {
                Ok(Supply::Ready) => {}
                Ok(Supply::AtBound) => {
                    let bound = format!("{} bytes of it are not booked yet", self.sizes.most_bytes);
                    outcome = Err(io::Error::other(bound));
                }
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }
}
