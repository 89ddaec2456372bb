//! `credits …`: what owners have paid in advance.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Globals;
use super::failure::{Failure, Result};
use super::output::{Output, fields, say};
use super::session::Session;
use crate::domain::id::DEFAULT_OWNER;
use crate::domain::{Millionths, Owner, OwnerId};
use crate::key::SecretText;
use crate::store::credits::balance;
use crate::store::{CreditPolicy, Credits as Kept, Recharge};
use crate::webhooks::{HookError, Hooks};

/// `credits …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Credits {
    /// Show what an owner has left
    Show(Whose),
    /// Add to what an owner has; from the first time on its keys spend it
    Add(Add),
    /// Say what is to happen when an owner's credits run out
    Policy(Policy),
}

/// An owner.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// The owner's name or id
    #[arg(long, default_value = DEFAULT_OWNER)]
    owner: String,
}

/// `credits add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    whose: Whose,
    /// How much, like `50.00`
    amount: Millionths,
    /// What for: an invoice, a payment
    #[arg(long, default_value = "")]
    reason: String,
}

/// `credits policy`. What is not given stays as it is.
#[derive(Debug, Args)]
pub(crate) struct Policy {
    #[command(flatten)]
    whose: Whose,
    /// Tell `credits.low` below this balance
    #[arg(long, value_name = "AMOUNT")]
    low: Option<Millionths>,
    /// Tell it never
    #[arg(long, conflicts_with = "low")]
    no_low: bool,
    /// Ask for a recharge below this balance
    #[arg(long, value_name = "AMOUNT", requires = "recharge_amount")]
    recharge_below: Option<Millionths>,
    /// Ask for so much
    #[arg(long, value_name = "AMOUNT", requires = "recharge_below")]
    recharge_amount: Option<Millionths>,
    /// Ask for none
    #[arg(long, conflicts_with_all = ["recharge_below", "recharge_amount"])]
    no_recharge: bool,
    /// Tell the owner's events to this address too; prints the secret that they are signed with, once
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Tell them there no more
    #[arg(long, conflicts_with = "webhook")]
    no_webhook: bool,
}

/// A policy with the secret of its webhook.
#[derive(Serialize)]
struct WithSecret<'a> {
    #[serde(flatten)]
    credits: Option<Kept>,
    webhook_signing_secret: &'a str,
}

/// Does what was asked of credits.
pub(crate) async fn run(command: Credits, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let output = globals.output();
    match command {
        Credits::Show(whose) => {
            let owner = session.mint().owner(&whose.owner).await?;
            let credits = session.store.credits(&owner.id).await?;
            let none = || {
                Failure::failed(format!(
                    "owner `{}` has no credits: its keys need none",
                    owner.name
                ))
                .with_hint("`keygate credits add` gives it some, which its keys spend from then on")
            };
            show(output, &credits.ok_or_else(none)?, None)
        }
        Credits::Add(add) => {
            let owner = session.mint().owner(&add.whose.owner).await?;
            let credits = session.mint().add_credits(&owner.id, add.amount, &add.reason).await?;
            show(output, &credits, Some(&format!("Added {} to `{}`.", add.amount, owner.name)))
        }
        Credits::Policy(policy) => {
            let owner = session.mint().owner(&policy.whose.owner).await?;
            let changed = policy.read();
            let credits = if changed == CreditPolicy::default() && policy.is_about_webhook() {
                session.store.credits(&owner.id).await?
            } else {
                Some(session.mint().set_credit_policy(&owner.id, &changed).await?)
            };
            let secret = set_webhook(&session, &owner.id, &policy).await?;
            show_policy(output, &owner, credits, secret.as_ref())
        }
    }
}

/// Where the owner's events go, beside the endpoints of the configuration.
async fn set_webhook(
    session: &Session,
    owner: &OwnerId,
    policy: &Policy,
) -> Result<Option<SecretText>> {
    if !policy.is_about_webhook() {
        return Ok(None);
    }
    let (store, clock) = (Arc::clone(&session.store), session.clock.clone());
    let hooks = Hooks::new(store, &session.loaded, clock).map_err(Failure::mistaken)?;
    let failed = |error: HookError| Failure::failed(error.to_string());
    match &policy.webhook {
        Some(url) => {
            let secret = hooks.register(owner.as_str(), url).await.map_err(failed)?;
            Ok(Some(secret.text()))
        }
        None => hooks.remove(owner.as_str()).await.map_err(failed).map(|_| None),
    }
}

/// The policy as it is now; the webhook's secret alone on stdout, the one time that it is shown.
fn show_policy(
    output: Output,
    owner: &Owner,
    credits: Option<Kept>,
    secret: Option<&SecretText>,
) -> Result {
    let secret = secret.map(SecretText::expose);
    match (credits, secret) {
        (credits, Some(secret)) if output.json => {
            let shown = WithSecret { credits, webhook_signing_secret: secret };
            output.show(&shown, String::new)
        }
        (_, Some(secret)) => {
            say(&format!(
                "Events of owner `{}` are signed with this secret, shown only now:",
                owner.name
            ))?;
            output.show(&secret, || secret.to_owned())
        }
        (Some(credits), None) => show(output, &credits, None),
        (None, None) => say("Done."),
    }
}

impl Policy {
    fn is_about_webhook(&self) -> bool {
        self.webhook.is_some() || self.no_webhook
    }

    fn read(&self) -> CreditPolicy {
        let recharge = self.recharge_below.zip(self.recharge_amount);
        let recharge = recharge.map(|(threshold, amount)| Some(Recharge { threshold, amount }));
        CreditPolicy {
            low_threshold: self.low.map(Some).or(self.no_low.then_some(None)),
            recharge: recharge.or(self.no_recharge.then_some(None)),
        }
    }
}

fn show(output: Output, credits: &Kept, done: Option<&str>) -> Result {
    output.show(credits, || {
        let amount =
            |amount: Option<Millionths>| amount.map_or("never".to_owned(), |it| it.to_string());
        let recharge = match credits.recharge {
            Some(Recharge { threshold, amount }) => format!("{amount} below {threshold}"),
            None => "never".to_owned(),
        };
        let asked = if credits.recharge_asked { " (asked for)" } else { "" };
        let told = fields(vec![
            ("Owner", credits.owner.to_string()),
            ("Balance", balance(credits.balance)),
            ("Low below", amount(credits.low_threshold)),
            ("Recharge", format!("{recharge}{asked}")),
        ]);
        done.map_or(told.clone(), |done| format!("{done}\n{told}"))
    })
}
