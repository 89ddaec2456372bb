//! Folders of journals, and whose they are: who holds the lock of one.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use crate::domain::JournalId;

/// What a journal's folder is named with.
const PREFIX: &str = "jrn_";
/// What one is named with that is being removed.
const GONE: &str = "gone_";
const LOCK: &str = "lock";

/// A journal's folder, which is this process's as long as this is held.
pub(super) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Makes a folder among the others, mode 0700 like theirs.
    pub(super) fn create(parent: &Path, id: &JournalId) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).recursive(true).create(parent)?;
        let _turn = turn(parent)?;
        let path = parent.join(id.as_str());
        DirBuilder::new().mode(0o700).create(&path)?;
        let lock = lock_file(&path)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { path, _lock: lock })
    }

    /// Takes the folders whose processes are gone.
    pub(super) fn claim(parent: &Path) -> io::Result<Vec<(JournalId, Self)>> {
        let _turn = turn(parent)?;
        let mut claimed = Vec::new();
        for entry in fs::read_dir(parent)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(GONE) {
                remove(&entry.path());
            } else if name.starts_with(PREFIX) {
                let lock = lock_file(&entry.path())?;
                if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
                    let folder = Self { path: entry.path(), _lock: lock };
                    claimed.push((JournalId::from_text(name), folder));
                }
            }
        }
        Ok(claimed)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes it. By its other name nobody takes what is left of it for a journal.
    pub(super) fn remove(self) -> io::Result<()> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let gone = self.path.with_file_name(format!("{GONE}{name}"));
        fs::rename(&self.path, &gone)?;
        remove(&gone);
        Ok(())
    }
}

/// Held while a folder is made or looked at, so that none is seen before it is locked.
fn turn(parent: &Path) -> io::Result<File> {
    let lock = lock_file(parent)?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}

fn lock_file(folder: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600).open(folder.join(LOCK))
}

/// Another process may be removing it as well.
fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "an old journal could not be removed");
    }
}
