//! `key create`.

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::{Named, called};
use crate::auth::mint::{Grants, NewKey};
use crate::auth::view::KeyView;
use crate::cli::failure::{Failure, Result};
use crate::cli::output::{Output, say};
use crate::cli::session::Session;
use crate::cli::typed::{self, Expiry};
use crate::domain::{AddressRange, Environment, KeyWithSecrets, Limit, Millionths};
use crate::key::format::Minted;

/// `key create`, and `agent create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What people call it
    #[arg(long)]
    pub(crate) name: String,
    /// Whose it is: an owner's name or id [default: default, or the parent's]
    #[arg(long)]
    pub(crate) owner: Option<String>,
    /// The key that it will be under: it never has more than that one, and what is not given is taken
    /// over from it
    #[arg(long, value_name = "ID")]
    pub(crate) parent: Option<String>,
    /// Make a test key
    #[arg(long)]
    pub(crate) test: bool,
    /// Something it may do: a scope of the catalogue, `prefix:*` or `*`; repeatable
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(crate) scopes: Vec<String>,
    /// A bundle of scopes of [permissions]; repeatable
    #[arg(long = "permission", value_name = "PERMISSION")]
    pub(crate) permissions: Vec<String>,
    /// When it stops by itself: `90d`, `never`, or a day like `2027-01-31` (00:00 UTC of it)
    /// [default: never, or when the parent does]
    #[arg(long, value_name = "WHEN")]
    pub(crate) expires: Option<Expiry>,
    /// What it may spend in a calendar month (UTC), like `50.00`
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) budget: Option<Millionths>,
    /// A rate limit like `60/min`, instead of the configuration's; repeatable
    #[arg(long = "limit", value_name = "LIMIT")]
    pub(crate) limits: Vec<Limit>,
    /// From where it may call: an address or CIDR range, else from anywhere; repeatable
    #[arg(long = "allow-ip", value_name = "CIDR")]
    pub(crate) allowed_ips: Vec<AddressRange>,
    /// A note; repeatable
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = typed::note)]
    pub(crate) metadata: Vec<(String, String)>,
    /// Say nothing beside the secret
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// A key with its secret, the one time that it is shown.
#[derive(Serialize)]
pub(crate) struct WithSecret<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    secret: &'a str,
}

/// Mints a key and prints its secret.
pub(crate) async fn run(session: &Session, new: Create, output: Output) -> Result {
    let quiet = new.quiet;
    let (key, minted) = create(session, new).await?;
    if !output.json && !quiet {
        say(&format!("Created key {}.", called(&key)))?;
        if key.key.scopes.is_empty() {
            say("It has no scopes, so it passes only routes that ask for none.")?;
        }
    }
    print_secret(session, &key, &minted, quiet, output).await
}

/// Mints the key that was asked for.
pub(crate) async fn create(session: &Session, new: Create) -> Result<(KeyWithSecrets, Minted)> {
    let parent = match new.parent {
        Some(id) => Some(Named { id }.find(session).await?.key.id),
        None => None,
    };
    let grants = Grants { scopes: new.scopes, permissions: new.permissions };
    let new = NewKey {
        name: new.name,
        parent,
        owner: new.owner,
        environment: new.test.then_some(Environment::Test),
        grants: (grants != Grants::default()).then_some(grants),
        limits: given(new.limits),
        allowed_ips: given(new.allowed_ips),
        expires_at: new.expires.map(|expiry| expiry.resolve(session.now())).transpose()?,
        monthly_budget: new.budget,
        metadata: notes(new.metadata)?,
    };
    Ok(session.mint().create(new).await?)
}

/// Prints a new secret: alone on stdout, or as part of its key's object.
pub(crate) async fn print_secret(
    session: &Session,
    key: &KeyWithSecrets,
    minted: &Minted,
    quiet: bool,
    output: Output,
) -> Result {
    if !quiet && !output.json {
        say("This is its secret. It is shown only now:")?;
    }
    let shown = WithSecret { key: session.view(key).await?, secret: minted.text.expose() };
    output.show(&shown, || shown.secret.to_owned())
}

/// A list, if there is anything in it.
fn given<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// Notes by their names; one given twice is a mistake.
pub(crate) fn notes(typed: Vec<(String, String)>) -> Result<BTreeMap<String, String>> {
    let mut notes = BTreeMap::new();
    for (name, value) in typed {
        if notes.insert(name.clone(), value).is_some() {
            return Err(Failure::mistaken(format!("the metadata `{name}` is given twice")));
        }
    }
    Ok(notes)
}
