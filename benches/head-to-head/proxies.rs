//! How each proxy is told to do the same work.

use std::fmt::{self, Write as _};
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::keys::Keys;

mod gateway;

/// The ones that are compared.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Proxy {
    /// Debian's nginx.
    Nginx,
    /// Debian's HAProxy.
    Haproxy,
    /// The binary that cargo built beside this benchmark.
    Keygate,
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
    pub address: SocketAddr,
    /// Where what it says goes.
    pub log: PathBuf,
}

impl Proxy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Nginx, Self::Haproxy, Self::Keygate];

    /// Its name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Keygate => "keygate",
        }
    }

    /// Writes its files, for so many requests a minute of each key.
    pub fn prepare(self, site: &Site<'_>, limit_per_minute: u32) -> Result<Prepared> {
        let folder = site.folder.join(self.name());
        fs::create_dir_all(&folder)?;
        let address = free_address()?;
        let command = match self {
            Self::Nginx => nginx(site, &folder, address, limit_per_minute),
            Self::Haproxy => haproxy(site, &folder, address, limit_per_minute),
            Self::Keygate => gateway::prepare(site, &folder, address, limit_per_minute),
        }?;
        Ok(Prepared { command, address, log: folder.join("output.log") })
    }

    /// Its name and version, as it says itself.
    pub fn version(self) -> Result<String> {
        let (program, flag) = match self {
            Self::Nginx => ("nginx", "-v"),
            Self::Haproxy => ("haproxy", "-v"),
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

fn nginx(site: &Site<'_>, folder: &Path, address: SocketAddr, limit: u32) -> Result<Command> {
    let mut map = String::new();
    for key in &site.keys.0 {
        writeln!(map, "\"Bearer {}\" {};", key.secret.expose(), key.id)?;
    }
    fs::write(folder.join("keys.map"), map)?;
    let config = format!(
        r#"
daemon off;
worker_processes 1;
pid nginx.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
  uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  keepalive_timeout 75s;
  keepalive_requests 1000000000;
  map_hash_max_size 65536;
  map_hash_bucket_size 128;
  map $http_authorization $key_id {{ default ""; include keys.map; }}
  limit_req_zone $key_id zone=keys:32m rate={limit}r/m;
  limit_req_status 429;
  upstream api {{
    server {upstream};
    keepalive 4096;
    keepalive_requests 1000000000;
  }}
  server {{
    listen {address} backlog=4096;
    location /v1/ {{
      if ($key_id = "") {{ return 401; }}
      limit_req zone=keys burst={burst} nodelay;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header Authorization "";
      proxy_set_header X-Auth-Key-Id $key_id;
      proxy_pass http://api;
    }}
  }}
}}
"#,
        upstream = site.upstream,
        burst = limit - 1,
    );
    fs::write(folder.join("nginx.conf"), config)?;
    let mut command = Command::new("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg("nginx.conf");
    Ok(command)
}

fn haproxy(site: &Site<'_>, folder: &Path, address: SocketAddr, limit: u32) -> Result<Command> {
    let mut map = String::new();
    for key in &site.keys.0 {
        writeln!(map, "{} {}", key.secret.expose(), key.id)?;
    }
    let map_file = folder.join("keys.map");
    fs::write(&map_file, map)?;
    let config = format!(
        "
global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 2s
  timeout client 75s
  timeout server 60s
  http-reuse always
frontend clients
  bind {address} backlog 4096
  http-request set-var(txn.key) http_auth_bearer,map_str({map})
  http-request return status 401 unless {{ var(txn.key) -m found }}
  http-request track-sc0 var(txn.key) table keys
  http-request deny deny_status 429 if {{ sc_http_req_rate(0) gt {limit} }}
  http-request del-header authorization
  http-request set-header x-auth-key-id %[var(txn.key)]
  default_backend api
backend keys
  stick-table type string len 40 size 200k expire 10m store http_req_rate(60s)
backend api
  server target {upstream} pool-max-conn -1
",
        map = map_file.display(),
        upstream = site.upstream,
    );
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}
