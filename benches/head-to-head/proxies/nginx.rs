//! nginx's side: keys in a `map`, counted by `limit_req`, answers buffered as by default.

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
        writeln!(map, "\"Bearer {}\" {};", key.secret.expose(), key.id)?;
    }
    fs::write(folder.join("keys.map"), map)?;
    let tls = setup.tls.map(|Certificate { cert, key, .. }| {
        format!(
            "ssl_certificate {}; ssl_certificate_key {}; ssl_protocols TLSv1.3;",
            cert.display(),
            key.display()
        )
    });
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
  # What a request brings is sent on when it is here as a whole; up to this size from memory.
  client_body_buffer_size 128k;
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
    listen {address} {ssl} backlog=4096;
    {tls}
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
        limit = setup.limit_per_minute,
        burst = setup.limit_per_minute - 1,
        ssl = if setup.tls.is_some() { "ssl http2" } else { "" },
        tls = tls.unwrap_or_default(),
    );
    fs::write(folder.join("nginx.conf"), config)?;
    let mut command = Command::new("nginx");
    command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg("nginx.conf");
    Ok(command)
}
