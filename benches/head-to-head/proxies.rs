//! How each proxy is told to do the same work.

use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result};

use crate::keys::Keys;
use crate::traffic::Endpoint;

mod certificate;
mod gateway;
mod haproxy;
mod minimal;
mod nginx;

pub use certificate::{Certificate, HOST};

/// The ones that are compared.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Proxy {
    /// Debian's nginx.
    Nginx,
    /// Debian's HAProxy.
    Haproxy,
    /// The floor: hyper and nothing else.
    Minimal,
    /// The binary that cargo built beside this benchmark.
    Keygate,
}

/// How a proxy is set up for a scenario.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// So many requests of each key in a minute.
    pub limit_per_minute: u32,
    /// keygate's; all others have one.
    pub workers: u32,
    /// With what it serves TLS 1.3, HTTP/1.1 and HTTP/2; `None`: in clear.
    pub tls: Option<&'a Certificate>,
}

/// What every proxy is set up from.
pub struct Site<'a> {
    /// Where its files go.
    pub folder: &'a Path,
    /// What stands behind it.
    pub upstream: SocketAddr,
    /// Whom it lets in.
    pub keys: &'a Keys,
}

/// A proxy ready to be started.
pub struct Prepared {
    /// Runs it in the foreground.
    pub command: Command,
    /// Where it will listen.
    pub endpoint: Endpoint,
    /// Where what it says goes.
    pub log: PathBuf,
}

impl Proxy {
    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Minimal => "minimal",
            Self::Keygate => "keygate",
        }
    }

    /// Writes its files.
    pub fn prepare(self, site: &Site<'_>, setup: Setup<'_>) -> Result<Prepared> {
        let folder = site.folder.join(self.name());
        fs::create_dir_all(&folder)?;
        let address = free_address()?;
        let command = match self {
            Self::Nginx => nginx::prepare(site, &folder, address, setup),
            Self::Haproxy => haproxy::prepare(site, &folder, address, setup),
            Self::Minimal => minimal::prepare(site, &folder, address, setup),
            Self::Keygate => gateway::prepare(site, &folder, address, setup),
        }?;
        let tls = setup.tls.map(|certificate| Arc::clone(&certificate.client));
        let endpoint = Endpoint { address, tls };
        Ok(Prepared { command, endpoint, log: folder.join("output.log") })
    }

    /// Its name and version, as it says itself.
    pub fn version(self) -> Result<String> {
        let (program, flag) = match self {
            Self::Nginx => ("nginx", "-v"),
            Self::Haproxy => ("haproxy", "-v"),
            Self::Minimal => return Ok("minimal (hyper, this program)".to_owned()),
            Self::Keygate => (gateway::BINARY, "--version"),
        };
        let output = Command::new(program).arg(flag).output();
        let output = output.with_context(|| {
            format!("cannot run {program}; Debian's packages nginx and haproxy bring the others")
        })?;
        let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
        let said = String::from_utf8_lossy(&said);
        let version =
            said.split_whitespace().find(|word| word.contains(|c: char| c.is_ascii_digit()));
        let version = version.unwrap_or_default().trim_start_matches("nginx/");
        Ok(format!("{} {version}", self.name()))
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An address that was free a moment ago.
pub fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
