//! `credits …`: what owners have paid in advance.

use clap::{Args, Subcommand};

use super::Globals;
use super::failure::{Failure, Result};
use super::output::{Output, fields};
use super::session::Session;
use crate::domain::Millionths;
use crate::domain::id::DEFAULT_OWNER;
use crate::store::credits::balance;
use crate::store::{CreditPolicy, Credits as Kept, Recharge};

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
            let credits = session.mint().set_credit_policy(&owner.id, &policy.read()).await?;
            show(output, &credits, None)
        }
    }
}

impl Policy {
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
