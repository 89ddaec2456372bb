//! What hooks' secrets are encrypted under: the operator's key, or for SQLite a file beside it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rand::TryRng as _;
use rand::rngs::SysRng;
use zeroize::Zeroizing;

use super::hooks::HookError;
use super::vault::Vault;
use crate::config::{LoadedConfig, StoreLocation};
use crate::key::{CacheKeys, base64};

/// Keeps what is encrypted here from being opened as anything else that is kept under such a key.
const PURPOSE: &str = "keygate hooks' secrets";

/// Where the key is.
pub(super) enum Source {
    /// The operator gave it.
    Given(CacheKeys),
    /// Beside a SQLite store, made when it is first needed.
    Beside(PathBuf),
    /// Nowhere.
    None,
}

impl Source {
    /// As the configuration says.
    pub(super) fn of(loaded: &LoadedConfig) -> Result<Self, String> {
        if let Some(keys) = loaded.webhook_keys()? {
            return Ok(Self::Given(keys));
        }
        Ok(match &loaded.config.store {
            StoreLocation::Sqlite(path) => {
                let mut beside = path.clone().into_os_string();
                beside.push(".hooks-key");
                Self::Beside(beside.into())
            }
            StoreLocation::Postgres(_) => Self::None,
        })
    }

    /// Opens what there is; `make`: and makes the file that may be missing.
    pub(super) fn vault(&self, make: bool) -> Result<Vault, HookError> {
        let keys = match self {
            Self::Given(keys) => keys.clone(),
            Self::None => return Err(HookError::NoKey),
            Self::Beside(path) => {
                let read = beside(path, make).map_err(|error| unusable(path, &error))?;
                CacheKeys::parse(&read).map_err(|error| unusable(path, &error))?
            }
        };
        Vault::new(&keys, PURPOSE).map_err(HookError::Vault)
    }
}

fn unusable(path: &Path, error: &dyn std::fmt::Display) -> HookError {
    HookError::KeyFile(format!("{}: {error}", path.display()))
}

/// The file's text. Of several processes that make it at once, all read what one has made.
fn beside(path: &Path, make: bool) -> io::Result<Zeroizing<String>> {
    match fs::read_to_string(path) {
        Err(error) if make && error.kind() == io::ErrorKind::NotFound => {}
        read => return read.map(Zeroizing::new),
    }
    let mut own = path.as_os_str().to_owned();
    own.push(format!(".{}", std::process::id()));
    let own = PathBuf::from(own);
    write(&own)?;
    // It has its whole content before it has its name, and takes no other file's place.
    let linked = fs::hard_link(&own, path);
    fs::remove_file(&own)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    fs::read_to_string(path).map(Zeroizing::new)
}

fn write(path: &Path) -> io::Result<()> {
    let mut random = Zeroizing::new([0_u8; 32]);
    SysRng.try_fill_bytes(&mut *random).map_err(io::Error::other)?;
    let text = Zeroizing::new(base64::encode(&*random));
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{}", *text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_file_beside_a_store_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("keygate.db.hooks-key");
        let source = Source::Beside(path.clone());
        assert!(matches!(source.vault(false), Err(HookError::KeyFile(_))));
        assert!(!path.exists());
        source.vault(true).unwrap();
        let made = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        source.vault(true).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), made);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else stays");
    }
}
