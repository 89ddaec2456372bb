//! A segment: a file of so many records, allocated before it is used, and used again.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::map::Mapped;
use super::record::BYTES;

/// One to be written to.
pub(super) struct Segment {
    path: PathBuf,
    /// Its place among its worker's segments.
    pub(super) index: u64,
    /// For who reads it.
    pub(super) file: Arc<File>,
    map: Mapped,
}

impl Segment {
    /// Makes one. It has its name only once it is whole, so that a file by that name is one.
    pub(super) fn make(folder: &Path, worker: u32, index: u64, records: u64) -> io::Result<Self> {
        let making = folder.join(format!("{worker}.making"));
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let made = options.open(&making).and_then(|mut file| {
            allocate(&mut file, records * BYTES as u64)?;
            let map = Mapped::new(&file)?;
            let path = name(folder, worker, index);
            fs::rename(&making, &path)?;
            Ok(Self { path, index, file: Arc::new(file), map })
        });
        if made.is_err() {
            // What was taken of a disk that is full is given back.
            let _ = fs::remove_file(&making);
        }
        made
    }

    /// Uses it again at a later place. Its records are stale by their numbers then.
    pub(super) fn recycle(mut self, folder: &Path, worker: u32, index: u64) -> io::Result<Self> {
        let path = name(folder, worker, index);
        fs::rename(&self.path, &path)?;
        (self.path, self.index) = (path, index);
        self.map.warm();
        Ok(self)
    }

    /// Removes it.
    pub(super) fn remove(self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "a segment could not be removed");
        }
    }

    /// Writes a record at its place.
    pub(super) fn write(&mut self, slot: usize, record: &[u8; BYTES]) {
        self.map.write(slot * BYTES, record);
    }
}

/// Reads records that lie one behind the other; of a file that was cut off, zeros in place of the rest.
pub(super) fn read(file: &File, slot: u64, records: u64) -> io::Result<Vec<[u8; BYTES]>> {
    let mut all = vec![[0; BYTES]; records as usize];
    let bytes = all.as_flattened_mut();
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(&mut bytes[got..], slot * BYTES as u64 + got as u64) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(all)
}

/// Gives a file its room on the disk, or fails.
fn allocate(file: &mut File, bytes: u64) -> io::Result<()> {
    match fallocate(&*file, FallocateFlags::empty(), 0, bytes) {
        // Not every file system knows how; zeros that are written take their room as well.
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
            io::copy(&mut io::Read::take(io::repeat(0), bytes), file)?;
            file.flush()?;
            file.sync_data()
        }
        allocated => Ok(allocated?),
    }
}

fn name(folder: &Path, worker: u32, index: u64) -> PathBuf {
    folder.join(format!("{worker}-{index}.segment"))
}

/// The worker and the place that a segment's file name says.
pub(super) fn parse_name(name: &str) -> Option<(u32, u64)> {
    let (worker, index) = name.strip_suffix(".segment")?.split_once('-')?;
    Some((worker.parse().ok()?, index.parse().ok()?))
}
