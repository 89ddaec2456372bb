//! The configuration: the file and the environment into a checked [`Config`].
//!
//! `settings` is the one table of all settings. `raw` reads a file by it into a `tree` of values
//! with their places, `overrides` puts the environment's variables in, `check` makes a [`Config`]
//! of it or every problem at once, `show` writes it for people, `reference` makes the documents
//! and the schema, and `reload` keeps a running gateway's configuration fresh. This is the only
//! module that reads environment variables.

use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::key::CacheKeys;

pub mod reference;
pub mod reload;
pub mod units;

mod check;
mod environment;
mod files;
mod overrides;
mod problem;
mod raw;
mod settings;
mod shape;
mod show;
#[cfg(test)]
mod tests;
mod tree;
mod types;

pub use environment::Environment;
pub use overrides::{DATABASE_URL, KEYGATE_CACHE_KEY, RATE_LIMIT_PER_HOUR, RATE_LIMIT_PER_MIN};
pub use problem::{Checked, Problem};
pub use types::{
    AccessLog, Admin, Cache, CacheKeySource, Config, Endpoint, ErrorOverride, Health, Keys, Limits,
    LogOutput, Origins, RedisLocation, RedisNode, RedisPlace, Requirement, Route, SelfService,
    Server, StoreLocation, Target, Upstream, Usage, Webhooks,
};

/// Where a configuration is looked for when none is named, the first before the second.
pub const USUAL_PLACES: [&str; 2] = ["keygate.toml", "/etc/keygate/keygate.toml"];

/// A configuration as it was loaded, with what `config show` and a reload need beside it.
#[derive(Clone, Debug)]
pub struct LoadedConfig {
    /// The checked configuration.
    pub config: Config,
    /// What is allowed and still worth a word.
    pub warnings: Vec<Problem>,
    /// The file it came from.
    pub file: PathBuf,
    /// Every setting that has a value, masked, in the order of the settings.
    masked: serde_json::Value,
    /// Those that whoever serves must be able to read.
    named: files::NamedFiles,
    /// Of the file's text, secrets and all: for [`reload::Watch`], never shown.
    content: blake3::Hash,
}

/// No configuration was named, and none is in a usual place.
#[derive(Debug, Error)]
#[error(
    "there is no configuration: name a file with `--config FILE` or `KEYGATE_CONFIG`, or put one \
     at ./keygate.toml or /etc/keygate/keygate.toml"
)]
pub struct NoConfigFile;

/// The file to load: the one that was named, else the first of the usual places that is there.
pub fn locate(given: Option<&Path>) -> Result<PathBuf, NoConfigFile> {
    if let Some(file) = given {
        return Ok(file.to_owned());
    }
    let usual = USUAL_PLACES.iter().map(PathBuf::from);
    usual.into_iter().find(|file| file.is_file()).ok_or(NoConfigFile)
}

/// Reads and checks a file; the error holds every problem, in the order of the file.
pub fn load(file: &Path, environment: &Environment) -> Result<LoadedConfig, Vec<Problem>> {
    let bytes = std::fs::read(file).map_err(|error| vec![unreadable(file, &error)])?;
    parse_bytes(&bytes, file, environment)
}

/// Checks a configuration's text; `file` is what problems name it.
pub fn parse(
    text: &str,
    file: &Path,
    environment: &Environment,
) -> Result<LoadedConfig, Vec<Problem>> {
    let mut complaints = problem::Complaints::about(file, text);
    let mut root = raw::read(text, environment, &mut complaints);
    overrides::apply(&mut root, environment, &mut complaints);
    let mut config = check::check(&root, &mut complaints);
    config.cache.key = overrides::cache_key(environment, &mut complaints).or(config.cache.key);
    let warnings = complaints.into_result()?;
    Ok(LoadedConfig {
        config,
        warnings,
        file: file.to_owned(),
        masked: show::masked(&root),
        named: files::NamedFiles::of(&root, text),
        content: blake3::hash(text.as_bytes()),
    })
}

/// Checks a text that somebody sends, and tells nothing of this process and its machine by it: no
/// variable is filled in or overrides anything, and no file is looked at.
pub fn check_text(text: &str) -> Checked {
    let mut complaints = problem::Complaints::about("keygate.toml".as_ref(), text);
    let root = raw::read(text, &Environment::withheld(), &mut complaints);
    check::check(&root, &mut complaints);
    complaints.into_all()
}

impl LoadedConfig {
    /// Reads the files that the configuration names, as who serves must be able to; the error holds
    /// what is wrong with each, at the setting that names it.
    pub fn check_files(&self) -> Result<(), Vec<Problem>> {
        let problems = self.named.problems(&self.file);
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// The cache key, if there is one; the error says what is wrong with its file.
    pub fn cache_keys(&self) -> Result<Option<CacheKeys>, String> {
        self.config.cache.key.as_ref().map(files::cache_keys).transpose()
    }

    /// The key of `webhooks.key_file`, else the cache key, if there is either; the error says what
    /// is wrong with the file.
    pub fn webhook_keys(&self) -> Result<Option<CacheKeys>, String> {
        match &self.config.webhooks.key_file {
            Some(file) => files::cache_keys(&CacheKeySource::File(file.clone())).map(Some),
            None => self.cache_keys(),
        }
    }

    /// The configuration in force as TOML: defaults and the environment's variables filled in;
    /// `***` in place of passwords, of headers set for upstreams, and of whatever came out of
    /// `${NAME}`. Can be loaded again where nothing is masked.
    pub fn show_toml(&self) -> String {
        show::to_toml(&self.masked)
    }

    /// The same as JSON.
    pub fn show_json(&self) -> serde_json::Value {
        self.masked.clone()
    }

    /// BLAKE3, in hex, of what [`Self::show_json`] gives: equal for instances that show the same.
    /// Secrets are masked before, so that none can be guessed from it.
    pub fn hash(&self) -> String {
        blake3::hash(self.masked.to_string().as_bytes()).to_hex().to_string()
    }
}

fn parse_bytes(
    bytes: &[u8],
    file: &Path,
    environment: &Environment,
) -> Result<LoadedConfig, Vec<Problem>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => parse(text, file, environment),
        Err(error) => {
            let text = String::from_utf8_lossy(&bytes[..error.valid_up_to()]);
            let mut complaints = problem::Complaints::about(file, &text);
            complaints.problem(text.len(), "not valid TOML: not UTF-8");
            Err(complaints.into_result().expect_err("a problem was just added"))
        }
    }
}

fn unreadable(file: &Path, error: &std::io::Error) -> Problem {
    Problem {
        file: file.to_owned(),
        line: 1,
        column: 1,
        message: format!("the file cannot be read: {error}"),
        hint: None,
    }
}
