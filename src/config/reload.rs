//! Whether a running gateway's file has changed.
//!
//! The content is compared, not times or inodes, so that a mounted `ConfigMap`, whose file is
//! swapped by a link, is seen like any other. When it is asked is the gateway's to say: on a tick
//! of some seconds, and on SIGHUP.

use std::path::PathBuf;

use super::{Environment, LoadedConfig, Problem, parse_bytes, unreadable};

/// Remembers the content that was last seen, good or bad, and loads another one when it comes.
#[derive(Debug)]
pub struct Watch {
    file: PathBuf,
    environment: Environment,
    seen: Seen,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Content(blake3::Hash),
    Unreadable(std::io::ErrorKind),
}

impl Watch {
    /// Watches the file of a configuration that is in force.
    pub fn new(loaded: &LoadedConfig, environment: Environment) -> Self {
        Self { file: loaded.file.clone(), environment, seen: Seen::Content(loaded.content) }
    }

    /// The file's new configuration, or its problems, if the content is not the one last seen.
    ///
    /// A bad file is told of once: not again before its content changes.
    pub fn changed(&mut self) -> Option<Result<LoadedConfig, Vec<Problem>>> {
        let before = self.seen.clone();
        let result = self.reload();
        (self.seen != before).then_some(result)
    }

    /// The file's configuration or its problems, changed or not: for SIGHUP.
    pub fn reload(&mut self) -> Result<LoadedConfig, Vec<Problem>> {
        let content = std::fs::read(&self.file);
        self.seen = match &content {
            Ok(bytes) => Seen::Content(blake3::hash(bytes)),
            Err(error) => Seen::Unreadable(error.kind()),
        };
        match content {
            Ok(bytes) => {
                let loaded = parse_bytes(&bytes, &self.file, &self.environment)?;
                loaded.check_files()?;
                Ok(loaded)
            }
            Err(error) => Err(vec![unreadable(&self.file, &error)]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    const GOOD: &str = "[cache]\ncapacity = 1\n";

    fn watched() -> (tempfile::TempDir, PathBuf, Watch) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("keygate.toml");
        std::fs::write(&file, GOOD).unwrap();
        let loaded = config::load(&file, &Environment::default()).unwrap();
        let watch = Watch::new(&loaded, Environment::default());
        (directory, file, watch)
    }

    #[test]
    fn an_unchanged_file_is_no_change_even_when_it_is_written_again() {
        let (_directory, file, mut watch) = watched();
        assert!(watch.changed().is_none());
        std::fs::write(&file, GOOD).unwrap();
        assert!(watch.changed().is_none());
    }

    #[test]
    fn a_change_is_told_of_once() {
        let (_directory, file, mut watch) = watched();
        std::fs::write(&file, "[cache]\ncapacity = 2\n").unwrap();
        assert_eq!(watch.changed().unwrap().unwrap().config.cache.capacity, 2);
        assert!(watch.changed().is_none());
    }

    #[test]
    fn a_bad_file_is_told_of_once_and_its_repair_too() {
        let (_directory, file, mut watch) = watched();
        std::fs::write(&file, "[cash]\n").unwrap();
        assert!(watch.changed().unwrap().is_err());
        assert!(watch.changed().is_none());
        std::fs::write(&file, GOOD).unwrap();
        assert!(watch.changed().unwrap().is_ok());
    }

    #[test]
    fn a_file_that_is_gone_is_told_of_once() {
        let (_directory, file, mut watch) = watched();
        std::fs::remove_file(&file).unwrap();
        assert!(watch.changed().unwrap().is_err());
        assert!(watch.changed().is_none());
    }

    #[test]
    fn a_forced_reload_loads_whatever_is_there() {
        let (_directory, _file, mut watch) = watched();
        assert!(watch.reload().is_ok());
        assert!(watch.changed().is_none());
    }
}
