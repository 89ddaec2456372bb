//! Which path each route's name in the records stands for: a file beside them.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::record::RouteName;

const FILE: &str = "routes";

/// The paths, by their names.
#[derive(Default)]
pub(super) struct Routes {
    paths: HashMap<RouteName, Arc<str>>,
    file: Option<File>,
}

impl Routes {
    /// Begins the file of a folder.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.append(true).create_new(true).mode(0o600).open(folder.join(FILE))?;
        Ok(Self { paths: HashMap::new(), file: Some(file) })
    }

    /// Reads a folder's file; a line that was torn is of a route that no request has taken.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let text = match fs::read(folder.join(FILE)) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&text);
        let paths = text.lines().filter_map(|line| {
            let path: Arc<str> = serde_json::from_str::<String>(line).ok()?.into();
            Some((RouteName::of(&path), path))
        });
        Ok(Self { paths: paths.collect(), file: None })
    }

    /// Writes down those that are new.
    pub(super) fn add<'p>(&mut self, paths: impl Iterator<Item = &'p str>) -> io::Result<()> {
        for path in paths {
            let name = RouteName::of(path);
            if self.paths.contains_key(&name) {
                continue;
            }
            if let Some(file) = &mut self.file {
                // Begins with its own end of a line, so that one that was torn spoils itself alone.
                file.write_all(format!("\n{}\n", serde_json::Value::from(path)).as_bytes())?;
            }
            self.paths.insert(name, path.into());
        }
        Ok(())
    }

    /// The path of a name.
    pub(super) fn path(&self, name: RouteName) -> Option<Arc<str>> {
        self.paths.get(&name).cloned()
    }
}
