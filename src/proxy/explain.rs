//! The steps of a request's way, said in words.

use std::net::IpAddr;

use http::Method;

use crate::config::Config;
use crate::domain::{Clock, Explanation, KeyId};
use crate::key::SecretText;
use crate::store::Store;

/// A request that was not made.
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its path and query.
    pub path: String,
    /// What it comes with.
    pub credential: Credential,
    /// Where it comes from.
    pub client: IpAddr,
}

/// What a request comes with.
pub enum Credential {
    /// Nothing.
    None,
    /// A good secret of this key.
    Key(KeyId),
    /// This string.
    Secret(SecretText),
}

/// Takes a request through every check, and consumes nothing.
#[expect(clippy::unused_async, reason = "the store is asked")]
pub async fn explain(
    _config: &Config,
    _store: &dyn Store,
    _clock: &Clock,
    _question: Question,
) -> anyhow::Result<Explanation> {
    anyhow::bail!("explain is not wired")
}
