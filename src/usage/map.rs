//! A file in memory: the one place where `unsafe` is.

use std::fs::File;
use std::io;

use memmap2::{Advice, MmapMut};

/// A file's bytes, writable; what is written to them is in the file, also when the process is killed.
pub(super) struct Mapped(MmapMut);

impl Mapped {
    /// Maps a file whose every byte has its place on the disk, so that no write to it can fail.
    ///
    /// It must be made by this process in a folder that this process alone has locked.
    #[expect(unsafe_code, reason = "a mapped file can be changed by others; see inside")]
    pub(super) fn new(file: &File) -> io::Result<Self> {
        // SAFETY: nothing but this map writes to the file or changes its length: it lies in a folder
        // of mode 0700 under a name that is made once, and whoever takes the folder over must hold its
        // lock first, which this process holds for as long as it lives. Of our own readers, all use
        // read calls and none a map.
        let map = unsafe { MmapMut::map_mut(file)? };
        let map = Self(map);
        map.warm();
        Ok(map)
    }

    /// Has its page faults now rather than in a request; a kernel before 5.14 does not know how.
    pub(super) fn warm(&self) {
        let _ = self.0.advise(Advice::PopulateWrite);
    }

    /// Writes at a place that is within it.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}
