//! `key …`: what was typed, and which file does it.

mod create;
mod list;
mod revoke;
mod rotate;
mod show;
mod update;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Globals;
use super::failure::{Failure, Result};
use super::output::Output;
use super::receipt::{Waiting, confirmed};
use super::session::Session;
use crate::auth::view::KeyView;
use crate::cluster::Receipt;
use crate::domain::{KeyId, KeyWithSecrets, PublicId};
use crate::key::SecretFormat;

pub(crate) use create::{Create, create, print_secret};
use list::owner_names;
pub(crate) use list::{List, keys, views};
pub(crate) use revoke::revoke;

/// `key …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Mint a key; its secret is printed once, alone on stdout
    Create(Box<Create>),
    /// List keys, newest first
    List(List),
    /// Show one key, with all its secrets but not their text
    Show(Named),
    /// Change a key in place, without a new secret
    Update(Box<update::Update>),
    /// Give a key a new secret; the old one works until the grace ends
    Rotate(rotate::Rotate),
    /// Stop a key, reversibly
    Disable(Disable),
    /// Let a key call again
    Enable(Named),
    /// End a key and its children, or one of its secrets, at once and for good
    Revoke(revoke::Revoke),
}

/// A key by id.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its id, or the eight public characters or the hint of one of its secrets
    #[arg(value_name = "ID")]
    pub(crate) id: String,
}

/// `key disable`.
#[derive(Debug, Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    waiting: Waiting,
}

/// A switched key as programs get it.
#[derive(Serialize)]
struct Switched<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    #[serde(flatten)]
    receipt: Option<Receipt>,
}

/// Does what was asked of keys.
pub(crate) async fn run(command: Key, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let output = globals.output();
    match command {
        Key::Create(new) => create::run(&session, *new, output).await,
        Key::List(wanted) => list::run(&session, &wanted, output).await,
        Key::Show(named) => {
            let key = named.find(&session).await?;
            show::run(&session, &key, output).await
        }
        Key::Update(update) => update::run(&session, *update, output).await,
        Key::Rotate(rotate) => rotate::run(&session, rotate, output).await,
        Key::Disable(disable) => run_disable(&session, &disable, output).await,
        Key::Enable(named) => run_enable(&session, &named, output).await,
        Key::Revoke(revoke) => revoke::run(&session, revoke, output).await,
    }
}

impl Named {
    /// The key that is meant. A whole secret is refused, and not repeated.
    pub(crate) async fn find(&self, session: &Session) -> Result<KeyWithSecrets> {
        let format = &session.config().keys.format;
        refuse_secret(&self.id, format)?;
        if let Some(public) = public_id(&self.id, format)
            && let Some(loaded) = session.store.load_by_secret(public).await?
        {
            return Ok(loaded.key);
        }
        let id = KeyId::from_text(masked(&self.id, format));
        Ok(session.mint().key(&id).await?)
    }
}

/// Refuses a secret where an id is wanted: arguments stay in shell histories and process lists.
pub(crate) fn refuse_secret(text: &str, format: &SecretFormat) -> Result {
    if format.parse(text.as_bytes()).is_none() {
        return Ok(());
    }
    Err(Failure::mistaken("that is a whole secret; a secret is never taken as an argument")
        .with_hint(
            "name the key by its id or by the eight public characters behind the prefix. The \
             secret may be in your shell's history now: rotate the key",
        ))
}

async fn run_disable(session: &Session, disable: &Disable, output: Output) -> Result {
    let key = disable.named.find(session).await?;
    let key = session.mint().set_disabled(&key.key.id, true).await?;
    let receipt = disable.waiting.receipt(session).await?;
    let switched = Switched { key: session.view(&key).await?, receipt };
    let done = || format!("Disabled key {}", called(&key));
    output.show(&switched, || confirmed(&done(), switched.receipt.as_ref()))
}

async fn run_enable(session: &Session, named: &Named, output: Output) -> Result {
    let key = named.find(session).await?;
    let key = session.mint().set_disabled(&key.key.id, false).await?;
    output.show(&session.view(&key).await?, || format!("Enabled key {}.", called(&key)))
}

/// A key as sentences name it: id and name.
fn called(key: &KeyWithSecrets) -> String {
    format!("{} (`{}`)", key.key.id, key.key.name)
}

/// The public characters in what was typed: alone, or behind a prefix as in a hint.
pub(crate) fn public_id(text: &str, format: &SecretFormat) -> Option<PublicId> {
    let prefixes = [Some(format.live_prefix.as_str()), format.test_prefix.as_deref(), Some("")];
    prefixes.into_iter().flatten().find_map(|prefix| text.strip_prefix(prefix)?.parse().ok())
}

/// What was typed, with whatever looks like a mistyped secret hidden.
pub(crate) fn masked(text: &str, format: &SecretFormat) -> String {
    if text.starts_with("key_") {
        return text.to_owned();
    }
    let mut looks_secret = false;
    format.find_in(text, |_| looks_secret = true);
    if looks_secret { "***".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Environment;

    fn format() -> SecretFormat {
        SecretFormat {
            live_prefix: "sk_live_".to_owned(),
            test_prefix: Some("sk_test_".to_owned()),
            checksum: true,
        }
    }

    #[test]
    fn a_whole_secret_is_refused_and_not_repeated() {
        let minted = format().mint(Environment::Live).unwrap().unwrap();
        let failure = refuse_secret(minted.text.expose(), &format()).unwrap_err();
        assert!(!format!("{failure:?}").contains(minted.text.expose()));
        assert!(refuse_secret("key_01h", &format()).is_ok());
        assert!(refuse_secret(&minted.hint, &format()).is_ok());
    }

    #[test]
    fn a_mistyped_secret_is_not_repeated_either() {
        let minted = format().mint(Environment::Live).unwrap().unwrap();
        let short = &minted.text.expose()[..40];
        assert_eq!(masked(short, &format()), "***");
        assert_eq!(masked("my-key", &format()), "my-key");
    }

    #[test]
    fn the_public_characters_are_found_alone_and_in_a_hint() {
        let id = "aB3dE6gH".parse().ok();
        for typed in ["aB3dE6gH", "sk_live_aB3dE6gH", "sk_test_aB3dE6gH"] {
            assert_eq!(public_id(typed, &format()), id, "{typed}");
        }
        assert_eq!(public_id("sk_other_aB3dE6gH", &format()), None);
    }
}
