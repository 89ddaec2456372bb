//! keygate's side: the binary as it is shipped, its keys in a SQLite store.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use keygate::config::StoreLocation;
use keygate::domain::id::DEFAULT_OWNER;
use keygate::domain::{Act, Clock, Environment, Key, OwnerId, Secret};
use keygate::key::hash::Argon2Strength;
use keygate::store;

use super::{Site, free_address};

/// What cargo built, optimised like a release.
pub const BINARY: &str = env!("CARGO_BIN_EXE_keygate");

const STORE: &str = "keygate.db";
/// Weak, so that ten thousand hashes take a second: each secret is hashed once here and once in the
/// warm-up, and never while anything is measured.
const WEAK: Argon2Strength = Argon2Strength { memory_kib: 64, iterations: 1, parallelism: 1 };

/// Writes its configuration and, the first time, its store.
pub fn prepare(
    site: &Site<'_>,
    folder: &Path,
    address: SocketAddr,
    limit_per_minute: u32,
) -> Result<Command> {
    let config = format!(
        r#"
[server]
listen = ["{address}"]
workers = 1
[admin]
listen = "{admin}"
[store]
url = "sqlite://{STORE}"
[limits]
per_key = ["{limit_per_minute}/min"]
[scopes]
"items:read" = "Read items"
[upstreams.api]
targets = ["http://{upstream}"]
[[routes]]
path = "/v1/**"
scopes = ["items:read"]
upstream = "api"
[access_log]
sample = 0.0
"#,
        admin = free_address()?,
        upstream = site.upstream,
    );
    fs::write(folder.join("keygate.toml"), config)?;
    if !folder.join(STORE).exists() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(fill(&folder.join(STORE), site)).context("cannot fill the store")?;
    }
    let mut command = Command::new(BINARY);
    command.current_dir(folder).args(["--config", "keygate.toml", "serve"]);
    Ok(command)
}

async fn fill(path: &Path, site: &Site<'_>) -> Result<()> {
    let store = store::open(&StoreLocation::Sqlite(path.to_owned())).await?;
    store.migrate().await?;
    let now = Clock::system().now();
    for (number, key) in site.keys.0.iter().enumerate() {
        let phc = WEAK.hash(&key.secret)?;
        let secret = Secret::new(key.public_id, key.hint.clone(), phc, now);
        let owner = OwnerId::from_text(DEFAULT_OWNER);
        let key = Key {
            id: key.id.clone(),
            scopes: vec!["items:read".to_owned()],
            ..Key::new(format!("client {number}"), owner, Environment::Live, now)
        };
        store.create_key(&Act::own(now), &key, &secret).await?;
    }
    Ok(())
}
