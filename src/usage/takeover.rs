//! Journals of processes that are gone: what is left in them is booked, and their leases end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::flush::{Part, remove};
use super::folder::Folder;
use super::journal::Journal;
use super::lane::Lane;
use super::lock;
use super::record::{self, BYTES};
use super::routes::Routes;
use super::segment;
use crate::domain::{Clock, JournalId};
use crate::store::{Books, Result, Store};

/// How often it is looked for such journals.
const LOOK: Duration = Duration::from_secs(5);
/// After how long one is tried again whose booking has failed.
const RETRY: Duration = Duration::from_secs(1);
/// Records that are read at a time while the last one is looked for.
const PART: u64 = 1_024;

/// Takes over what is there and what comes to be there, for ever.
pub async fn run(journal: Arc<Journal>, store: Arc<dyn Store>, clock: Clock) {
    let mut left: Vec<Abandoned> = Vec::new();
    loop {
        let found = {
            let journal = Arc::clone(&journal);
            tokio::task::spawn_blocking(move || Abandoned::all_under(journal.parent())).await
        };
        match found.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(found) => left.extend(found),
            Err(error) => tracing::warn!(%error, "journals that are left cannot be looked for"),
        }
        let mut failed = Vec::new();
        for mut abandoned in left {
            let keeps_requests = journal.keeping().keeps_requests();
            match abandoned.book(keeps_requests, &*store, &clock).await {
                Ok(()) => abandoned.finish(&*store).await,
                Err(error) => {
                    if !std::mem::replace(&mut abandoned.told, true) {
                        let journal = &abandoned.id;
                        tracing::warn!(%error, %journal, "a journal cannot be taken over yet");
                    }
                    failed.push(abandoned);
                }
            }
        }
        left = failed;
        sleep(if left.is_empty() { LOOK } else { RETRY }).await;
    }
}

/// A journal whose process is gone.
pub(super) struct Abandoned {
    id: JournalId,
    folder: Folder,
    routes: Routes,
    /// Each part with its end.
    parts: Vec<(Lane, u64)>,
    /// Whether it was said that it cannot be booked yet.
    told: bool,
}

impl Abandoned {
    /// Those that nobody else has.
    pub(super) fn all_under(parent: &Path) -> io::Result<Vec<Self>> {
        let claimed = Folder::claim(parent)?;
        let opened = claimed.into_iter().map(|(id, folder)| Self::open(id, folder));
        let said = |opened: io::Result<Self>| match opened {
            Ok(abandoned) => Some(abandoned),
            Err(error) => {
                tracing::error!(%error, "a journal that is left cannot be read");
                None
            }
        };
        Ok(opened.filter_map(said).collect())
    }

    fn open(id: JournalId, folder: Folder) -> io::Result<Self> {
        let mut segments: BTreeMap<u32, BTreeMap<u64, File>> = BTreeMap::new();
        for entry in fs::read_dir(folder.path())? {
            let entry = entry?;
            let name = entry.file_name();
            if let Some((worker, index)) = name.to_str().and_then(segment::parse_name) {
                segments.entry(worker).or_default().insert(index, File::open(entry.path())?);
            }
        }
        let parts = segments.into_iter().map(|(worker, files)| part(worker, files));
        let parts = parts.collect::<io::Result<Vec<_>>>()?;
        let routes = Routes::read(folder.path())?;
        Ok(Self { id, routes, parts, folder, told: false })
    }

    /// Books what the books do not have.
    pub(super) async fn book(
        &self,
        keep_requests: bool,
        store: &dyn Books,
        clock: &Clock,
    ) -> Result<()> {
        let booked = store.booked(&self.id).await?;
        for (lane, end) in &self.parts {
            let from = booked.get(&lane.worker).copied().unwrap_or(0);
            lane.set_booked(from);
            let part = Part { journal: &self.id, lane, keep_requests };
            part.book(*end, |name| self.routes.path(name), store, clock).await?;
            if let Some(records) = end.checked_sub(from).filter(|records| *records > 0) {
                let (journal, worker) = (&self.id, lane.worker);
                tracing::info!(%journal, worker, records, "usage that was left is booked");
            }
        }
        store.release_leases(&self.id).await.map(drop)
    }

    /// Removes it.
    pub(super) async fn finish(self, store: &dyn Books) {
        remove(self.folder, &self.id, store).await;
    }
}

/// A worker's part, and where it ends: behind the last record that is whole.
fn part(worker: u32, files: BTreeMap<u64, File>) -> io::Result<(Lane, u64)> {
    let lengths = files.values().map(|file| file.metadata().map(|data| data.len()));
    let longest = lengths.collect::<io::Result<Vec<_>>>()?.into_iter().max();
    let records = (longest.unwrap_or(0) / BYTES as u64).max(1);
    let lane = Lane::new(worker, records);
    let mut end = 0;
    for (index, file) in files.iter().rev() {
        if let Some(last) = last_record(file, *index, records)? {
            end = last + 1;
            break;
        }
    }
    lock(&lane.shelf).hold(files);
    Ok((lane, end))
}

/// The number of the last record of a segment that is whole.
fn last_record(file: &File, index: u64, records: u64) -> io::Result<Option<u64>> {
    let mut to = records;
    while to > 0 {
        let from = to.saturating_sub(PART);
        let read = segment::read(file, from, to - from)?;
        let number = |place: usize| index * records + from + place as u64;
        let is_whole = |place: &usize| record::is_committed(&read[*place], number(*place));
        if let Some(last) = (0..read.len()).rev().find(is_whole) {
            return Ok(Some(number(last)));
        }
        to = from;
    }
    Ok(None)
}
