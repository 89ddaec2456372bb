//! `key revoke`.

use clap::Args;
use serde::Serialize;

use super::{Named, called, refuse_secret};
use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::session::Session;
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
    /// Do not wait until the running instances have confirmed it
    #[arg(long)]
    no_wait: bool,
}

/// What was ended.
#[derive(Debug, Serialize)]
pub(crate) struct Receipt {
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
}

/// Ends a key or one of its secrets.
pub(crate) async fn run(session: &Session, revoke: Revoke, output: Output) -> Result {
    let key = revoke.named.find(session).await?;
    if let Some(secret) = &revoke.secret {
        return run_secret(session, &key, secret, output).await;
    }
    let receipt = receipt(session, &key, revoke.reason.as_deref()).await?;
    output.show(&receipt, || match receipt.revoked {
        0 => format!("Key {} was revoked before.", called(&key)),
        1 => format!("Revoked key {}.", called(&key)),
        n => format!("Revoked key {} and {} below it.", called(&key), n - 1),
    })
}

/// Ends a key and says what ended.
pub(crate) async fn receipt(
    session: &Session,
    key: &KeyWithSecrets,
    reason: Option<&str>,
) -> Result<Receipt> {
    let id = key.key.id.clone();
    let revoked = session.mint().revoke(&id, reason).await?;
    Ok(Receipt { id, status: KeyStatus::Revoked, secret_id: None, revoked })
}

async fn run_secret(
    session: &Session,
    key: &KeyWithSecrets,
    typed: &str,
    output: Output,
) -> Result {
    refuse_secret(typed, &session.config().keys.format)?;
    let secret = super::public_id(typed, &session.config().keys.format).ok_or_else(|| {
        Failure::mistaken("`--secret` takes the eight public characters of a secret")
            .with_hint(format!("`keygate key show {}` lists them", key.key.id))
    })?;
    let key = session.mint().revoke_secret(&key.key.id, secret).await?;
    let (id, status) = (key.key.id.clone(), key.key.status(session.now()));
    let receipt = Receipt { id, status, secret_id: Some(secret), revoked: 1 };
    output.show(&receipt, || format!("Revoked secret {secret} of key {}.", called(&key)))
}
