//! `key rotate`.

use std::time::Duration;

use clap::Args;

use super::create::print_secret;
use super::{Named, called};
use crate::cli::failure::Result;
use crate::cli::output::{Output, say, time};
use crate::cli::session::Session;
use crate::config::units;
use crate::domain::{KeyWithSecrets, SecretStatus};

/// `key rotate`.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    named: Named,
    /// How long the old secret goes on working, `0` not at all; else `keys.rotation_grace`
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    grace: Option<Duration>,
    /// End the older of two live secrets at once
    #[arg(long)]
    replace: bool,
    /// Say nothing beside the secret
    #[arg(long, short)]
    quiet: bool,
}

/// Gives a key a new secret and prints it.
pub(crate) async fn run(session: &Session, rotate: Rotate, output: Output) -> Result {
    let key = rotate.named.find(session).await?;
    let grace = rotate.grace.unwrap_or(session.config().keys.rotation_grace);
    let (key, minted) = session.mint().rotate(&key.key.id, grace, rotate.replace).await?;
    if !output.json && !rotate.quiet {
        say(&format!("Rotated key {}. {}", called(&key), old_secret(session, &key)))?;
    }
    print_secret(session, &key, &minted, rotate.quiet, output).await
}

fn old_secret(session: &Session, key: &KeyWithSecrets) -> String {
    let now = session.now();
    let in_grace = key.secrets.iter().find(|secret| secret.status(now) == SecretStatus::Grace);
    match in_grace.and_then(|secret| Some((secret, secret.expires_at?))) {
        Some((secret, end)) => format!("{}… works until {}.", secret.hint, time(end)),
        None => "The old secret works no more.".to_owned(),
    }
}
