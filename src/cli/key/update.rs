//! `key update`: every flag of `key create`, in place.

use clap::Args;

use super::create::notes;
use super::{Named, called};
use crate::auth::mint::{Grants, KeyChange};
use crate::cli::failure::{Failure, Result};
use crate::cli::output::Output;
use crate::cli::session::Session;
use crate::cli::typed::{self, Budget, Expiry};
use crate::domain::{AddressRange, Limit};

/// `key update`. What is not given stays as it is.
#[derive(Debug, Args)]
pub(crate) struct Update {
    #[command(flatten)]
    named: Named,
    /// What people call it
    #[arg(long)]
    name: Option<String>,
    /// Whose it is: an owner's name or id
    #[arg(long)]
    owner: Option<String>,
    /// Something it may do, instead of all it might before; repeatable
    #[arg(long = "scope", value_name = "SCOPE")]
    scopes: Vec<String>,
    /// A bundle of scopes, instead of all it might before; repeatable
    #[arg(long = "permission", value_name = "PERMISSION")]
    permissions: Vec<String>,
    /// Take all scopes away
    #[arg(long, conflicts_with_all = ["scopes", "permissions"])]
    no_scopes: bool,
    /// When it stops by itself: `90d`, `never`, or a day like `2027-01-31` (00:00 UTC of it)
    #[arg(long, value_name = "WHEN")]
    expires: Option<Expiry>,
    /// What it may spend in a calendar month (UTC), like `50.00`, or `none`
    #[arg(long, value_name = "AMOUNT")]
    budget: Option<Budget>,
    /// A rate limit, instead of all it had before; repeatable
    #[arg(long = "limit", value_name = "LIMIT")]
    limits: Vec<Limit>,
    /// Take its own limits away: the configuration's apply
    #[arg(long, conflicts_with = "limits")]
    no_limits: bool,
    /// From where it may call, instead of from where it might before; repeatable
    #[arg(long = "allow-ip", value_name = "CIDR")]
    allowed_ips: Vec<AddressRange>,
    /// Let it call from anywhere
    #[arg(long, conflicts_with = "allowed_ips")]
    any_ip: bool,
    /// A note to set; `NAME=` removes one; repeatable
    #[arg(long = "meta", value_name = "NAME=VALUE", value_parser = typed::note)]
    metadata: Vec<(String, String)>,
}

/// Changes a key in place.
pub(crate) async fn run(session: &Session, update: Update, output: Output) -> Result {
    let key = update.named.find(session).await?;
    let change = change(session, update)?;
    if change == KeyChange::default() {
        return Err(Failure::mistaken("there is nothing to change")
            .with_hint("`keygate key update --help` lists what can be"));
    }
    let key = session.mint().update(&key.key.id, change).await?;
    output.show(&session.view(&key).await?, || format!("Updated key {}.", called(&key)))
}

fn change(session: &Session, update: Update) -> Result<KeyChange> {
    let grants = Grants { scopes: update.scopes, permissions: update.permissions };
    let regranted = update.no_scopes || grants != Grants::default();
    let removed_if_empty = |value: String| (!value.is_empty()).then_some(value);
    let metadata = notes(update.metadata)?;
    Ok(KeyChange {
        name: update.name,
        owner: update.owner,
        grants: regranted.then_some(grants),
        limits: anew(update.limits, update.no_limits),
        allowed_ips: anew(update.allowed_ips, update.any_ip),
        monthly_budget: update.budget.map(Budget::amount),
        expires_at: update.expires.map(|expiry| expiry.resolve(session.now())).transpose()?,
        metadata: metadata.into_iter().map(|(name, v)| (name, removed_if_empty(v))).collect(),
    })
}

/// A list to be set: what was given, nothing where it is to be emptied.
fn anew<T>(given: Vec<T>, emptied: bool) -> Option<Vec<T>> {
    (emptied || !given.is_empty()).then_some(given)
}
