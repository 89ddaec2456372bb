//! HAProxy's side: keys in a map file, counted in a stick table.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Certificate, Setup, Site};

/// Writes its configuration and its map of keys.
pub fn prepare(
    site: &Site<'_>,
    folder: &Path,
    address: SocketAddr,
    setup: Setup<'_>,
) -> Result<Command> {
    let mut map = String::new();
    for key in &site.keys.0 {
        writeln!(map, "{} {}", key.secret.expose(), key.id)?;
    }
    let map_file = folder.join("keys.map");
    fs::write(&map_file, map)?;
    let tls = setup.tls.map(|Certificate { both, .. }| {
        format!("ssl crt {} alpn h2,http/1.1 ssl-min-ver TLSv1.3", both.display())
    });
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
  bind {address} backlog 4096 {tls}
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
        limit = setup.limit_per_minute,
        tls = tls.unwrap_or_default(),
        upstream = site.upstream,
    );
    let file = folder.join("haproxy.cfg");
    fs::write(&file, config)?;
    let mut command = Command::new("haproxy");
    command.arg("-db").arg("-f").arg(file);
    Ok(command)
}
