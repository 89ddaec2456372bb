//! The files that a configuration names: whether they can be used.
//!
//! Apart from the rest of the checks, because only who serves must be able to read them: minting a
//! key needs no right to see a certificate's.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::problem::{Problem, place};
use super::tree::Table;
use super::types::CacheKeySource;
use crate::key::CacheKeys;
use crate::tls::{CertificateFiles, ClientSettings, ServerFiles, check_certificate, check_roots};

/// Line and column.
type Place = (usize, usize);

/// Every file that is named, and where.
#[derive(Clone, Debug, Default)]
pub(super) struct NamedFiles {
    certificates: Vec<(CertificateFiles, Place, Place)>,
    authorities: Vec<(PathBuf, Place)>,
    /// Cache keys, and keys of the same form.
    keys: Vec<(PathBuf, Place)>,
}

impl NamedFiles {
    /// Of a checked configuration.
    pub(super) fn of(root: &Table, text: &str) -> Self {
        let server = root.table("server").table("tls");
        let upstreams = || {
            let tables = root.table("upstreams").entries.iter();
            tables.filter_map(|(_, _, node)| Some(node.table()?.table("tls")))
        };
        let at = |table: &Table, name: &str| place(text, table.place_of(name));
        let admin = root.table("admin").table("tls");
        let certificates = certificate_tables(server)
            .chain(certificate_tables(admin))
            .chain(upstreams().filter(|tls| is_given(tls, "cert")))
            .map(|table| (certificate(table), at(table, "cert"), at(table, "key")));
        let webhooks = root.table("webhooks");
        let others = [
            (server, "client_ca"),
            (admin, "client_ca"),
            (root.table("cluster"), "redis_ca"),
            (webhooks, "ca_file"),
        ];
        let authorities = upstreams().map(|tls| (tls, "ca")).chain(others);
        let named =
            |(tls, name): (&Table, &str)| Some((PathBuf::from(filled(tls, name)?), at(tls, name)));
        Self {
            certificates: certificates.collect(),
            authorities: authorities.filter_map(named).collect(),
            keys: [(root.table("cache"), "key_file"), (webhooks, "key_file")]
                .into_iter()
                .filter_map(named)
                .collect(),
        }
    }

    /// What is wrong with them, each at the setting that names the file.
    pub(super) fn problems(&self, file: &Path) -> Vec<Problem> {
        let mut problems = Vec::new();
        for (files, cert, key) in &self.certificates {
            if let Err(error) = check_certificate(files) {
                let at = if error.file() == Some(&files.key) { key } else { cert };
                problems.push(problem(file, *at, error.to_string()));
            }
        }
        for (authorities, at) in &self.authorities {
            if let Err(error) = check_roots(authorities) {
                problems.push(problem(file, *at, error.to_string()));
            }
        }
        for (path, at) in &self.keys {
            if let Err(error) = cache_keys(&CacheKeySource::File(path.clone())) {
                problems.push(problem(file, *at, error));
            }
        }
        problems.sort_by_key(|problem| (problem.line, problem.column));
        problems
    }
}

fn problem(file: &Path, (line, column): Place, message: String) -> Problem {
    Problem { file: file.to_owned(), line, column, message, hint: None }
}

/// The table's `tls`, where there is one.
pub(super) fn server_tls(server: &Table) -> Option<ServerFiles> {
    server.node("tls")?;
    let tls = server.table("tls");
    let client_ca = tls.text("client_ca").text;
    Some(ServerFiles {
        certificates: certificate_tables(tls).map(certificate).collect(),
        client_ca: (!client_ca.is_empty()).then(|| client_ca.into()),
    })
}

/// `upstreams.NAME.tls`, whose table may be missing.
pub(super) fn upstream_tls(tls: &Table) -> ClientSettings {
    ClientSettings {
        ca: filled(tls, "ca").map(Into::into),
        identity: is_given(tls, "cert").then(|| certificate(tls)),
        server_name: filled(tls, "server_name").map(str::to_owned),
    }
}

/// The tables that name a certificate: the one that may be `server.tls` itself, then its list.
fn certificate_tables(tls: &Table) -> impl Iterator<Item = &Table> {
    is_given(tls, "cert").then_some(tls).into_iter().chain(tls.tables("certificates"))
}

fn certificate(table: &Table) -> CertificateFiles {
    let path = |name| table.word(name).map(|word| word.text.into()).unwrap_or_default();
    CertificateFiles { cert: path("cert"), key: path("key") }
}

fn is_given(table: &Table, name: &str) -> bool {
    filled(table, name).is_some()
}

/// The cache key, as far as there is one.
pub(super) fn cache_keys(source: &CacheKeySource) -> Result<CacheKeys, String> {
    let path = match source {
        CacheKeySource::Variable(keys) => return Ok(keys.clone()),
        CacheKeySource::File(path) => path,
    };
    let text = std::fs::read_to_string(path).map(Zeroizing::new);
    let text = text.map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    CacheKeys::parse(&text).map_err(|error| format!("{} {error}", path.display()))
}

/// A string that is given and not empty.
pub(super) fn filled<'t>(table: &'t Table, name: &str) -> Option<&'t str> {
    table.word(name).map(|word| word.text).filter(|text| !text.is_empty())
}
