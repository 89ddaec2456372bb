//! `key revoke`.

use clap::Args;
use serde::Serialize;

use super::{Named, called, refuse_secret};
use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::receipt::{Waiting, confirmed};
use crate::cli::session::Session;
use crate::cluster::Receipt;
use crate::domain::{KeyId, KeyStatus, KeyWithSecrets, PublicId};

/// `key revoke`.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    named: Named,
    /// End only this secret of it: its eight public characters
    #[arg(long, value_name = "SECRET_ID")]
    secret: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT", conflicts_with = "secret")]
    reason: Option<String>,
    #[command(flatten)]
    waiting: Waiting,
}

/// What was ended, and who has confirmed it.
#[derive(Debug, Serialize)]
pub(crate) struct Ended {
    /// The key.
    pub(crate) id: KeyId,
    /// Its status now.
    pub(crate) status: KeyStatus,
    /// The secret, where only one was ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) secret_id: Option<PublicId>,
    /// Keys that ended, its descendants counted; of one secret, secrets. 0 where it had ended
    /// before.
    pub(crate) revoked: u64,
    /// Left out where it was not waited for.
    #[serde(flatten)]
    pub(crate) receipt: Option<Receipt>,
}

/// Ends a key or one of its secrets.
pub(crate) async fn run(session: &Session, typed: Revoke, output: Output) -> Result {
    let key = typed.named.find(session).await?;
    let (ended, done) = if let Some(secret) = &typed.secret {
        revoke_secret(session, &key, secret, typed.waiting).await?
    } else {
        let ended = revoke(session, &key, typed.reason.as_deref(), typed.waiting).await?;
        let done = in_words(&key, ended.revoked);
        (ended, done)
    };
    output.show(&ended, || confirmed(&done, ended.receipt.as_ref()))
}

/// Ends a key and says what ended.
pub(crate) async fn revoke(
    session: &Session,
    key: &KeyWithSecrets,
    reason: Option<&str>,
    waiting: Waiting,
) -> Result<Ended> {
    let id = key.key.id.clone();
    let revoked = session.mint().revoke(&id, reason).await?;
    let receipt = waiting.receipt(session).await?;
    Ok(Ended { id, status: KeyStatus::Revoked, secret_id: None, revoked, receipt })
}

fn in_words(key: &KeyWithSecrets, revoked: u64) -> String {
    match revoked {
        0 => format!("Key {} was revoked before", called(key)),
        1 => format!("Revoked key {}", called(key)),
        n => format!("Revoked key {} and {} below it", called(key), n - 1),
    }
}

async fn revoke_secret(
    session: &Session,
    key: &KeyWithSecrets,
    typed: &str,
    waiting: Waiting,
) -> Result<(Ended, String)> {
    refuse_secret(typed, &session.config().keys.format)?;
    let secret = super::public_id(typed, &session.config().keys.format).ok_or_else(|| {
        Failure::mistaken("`--secret` takes the eight public characters of a secret")
            .with_hint(format!("`keygate key show {}` lists them", key.key.id))
    })?;
    let key = session.mint().revoke_secret(&key.key.id, secret).await?;
    let receipt = waiting.receipt(session).await?;
    let (id, status) = (key.key.id.clone(), key.key.status(session.now()));
    let done = format!("Revoked secret {secret} of key {}", called(&key));
    Ok((Ended { id, status, secret_id: Some(secret), revoked: 1, receipt }, done))
}
