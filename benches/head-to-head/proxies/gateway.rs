//! keygate's side: the binary as it is shipped with everything on, its keys in a SQLite store.
//!
//! Beside what the others do, each request needs a scope, is counted against two limits, carries
//! identity headers and a request id, is in the metrics and in the usage journal, and pays from a
//! budget of its key. Refused secrets of one address are not limited, so that each is looked at.

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

use super::{Certificate, Setup, Site, free_address};

/// What cargo built, optimised like a release.
pub const BINARY: &str = env!("CARGO_BIN_EXE_keygate");

const STORE: &str = "keygate.db";
/// High enough that nothing is refused for it.
const LIMIT_PER_DAY: u32 = 1_000_000_000;
/// What a request pays, and what a key may spend: enough for more than any run sends.
const COST: &str = "0.001";
const BUDGET: &str = "1000000000.00";
/// Weak, so that ten thousand hashes take a second: each secret is hashed once here and once in the
/// warm-up, and never while anything is measured.
const WEAK: Argon2Strength = Argon2Strength { memory_kib: 64, iterations: 1, parallelism: 1 };

/// Writes its configuration and, the first time, its store.
pub fn prepare(
    site: &Site<'_>,
    folder: &Path,
    address: SocketAddr,
    setup: Setup<'_>,
) -> Result<Command> {
    let tls = setup.tls.map(|Certificate { cert, key, .. }| {
        format!("tls = {{ cert = \"{}\", key = \"{}\" }}", cert.display(), key.display())
    });
    let config = format!(
        r#"
[server]
listen = ["{address}"]
workers = {workers}
{tls}
[admin]
listen = "{admin}"
[store]
url = "sqlite://{STORE}"
[limits]
per_key = ["{limit_per_minute}/min", "{LIMIT_PER_DAY}/day"]
failed_auth_per_ip = ""
[scopes]
"items:read" = "Read items"
[upstreams.api]
targets = ["http://{upstream}"]
[[routes]]
path = "/v1/**"
scopes = ["items:read"]
upstream = "api"
cost = "{COST}"
[access_log]
sample = 0.0
"#,
        admin = free_address()?,
        upstream = site.upstream,
        workers = setup.workers,
        limit_per_minute = setup.limit_per_minute,
        tls = tls.unwrap_or_default(),
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
            monthly_budget: Some(BUDGET.parse()?),
            ..Key::new(format!("client {number}"), owner, Environment::Live, now)
        };
        store.create_key(&Act::own(now), &key, &secret).await?;
    }
    Ok(())
}
