//! The floor's side: this program, started to be the minimal proxy.

use std::env;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Setup, Site};
use crate::minimal::Config;

/// Writes its configuration.
pub fn prepare(
    site: &Site<'_>,
    folder: &Path,
    address: SocketAddr,
    setup: Setup<'_>,
) -> Result<Command> {
    let keys = site.keys.0.iter().map(|key| (key.secret.expose().to_owned(), key.id.to_string()));
    let config = Config {
        listen: address,
        upstream: site.upstream,
        limit_per_minute: setup.limit_per_minute,
        keys: keys.collect(),
    };
    let file = folder.join("minimal.json");
    fs::write(&file, serde_json::to_vec(&config)?)?;
    let mut command = Command::new(env::current_exe()?);
    command.arg("--be-minimal").arg(file);
    Ok(command)
}
