//! `webhook …`: what was sent of events, what waits, what was given up, and sending it again.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::Globals;
use super::failure::{Failure, Result};
use super::output::{List, Output, table, time, time_or};
use super::owner::{Paging, more};
use super::session::Session;
use crate::domain::{Act, DeliveryId};
use crate::store::deliveries::{Delivery, DeliveryStatus, Replay};

/// Deliveries that one transaction sends again.
const BATCH: u32 = 500;

/// `webhook …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Webhook {
    /// List deliveries of events, newest first
    List(Wanted),
    /// Send deliveries again, at once and with the same event id
    Replay(Again),
}

/// `webhook list`.
#[derive(Debug, Args)]
pub(crate) struct Wanted {
    /// Only those that stand so
    #[arg(long)]
    status: Option<Status>,
    #[command(flatten)]
    paging: Paging,
}

/// How a delivery stands.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Status {
    Pending,
    Delivered,
    Failed,
}

/// `webhook replay`.
#[derive(Debug, Args)]
pub(crate) struct Again {
    /// Ids of deliveries, or of events, of which then every delivery is sent again
    #[arg(value_name = "ID", required_unless_present = "failed", conflicts_with = "failed")]
    ids: Vec<String>,
    /// All that were given up
    #[arg(long)]
    failed: bool,
}

/// What is sent again, for programs.
#[derive(Serialize)]
struct Replayed {
    replayed: Vec<DeliveryId>,
}

/// Does what was asked of webhooks.
pub(crate) async fn run(command: Webhook, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    match command {
        Webhook::List(wanted) => list(&session, &wanted, globals.output()).await,
        Webhook::Replay(again) => replay(&session, &again, globals.output()).await,
    }
}

async fn list(session: &Session, wanted: &Wanted, output: Output) -> Result {
    let (store, paging) = (&session.store, &wanted.paging);
    let status = wanted.status.map(|status| match status {
        Status::Pending => DeliveryStatus::Pending,
        Status::Delivered => DeliveryStatus::Delivered,
        Status::Failed => DeliveryStatus::Failed,
    });
    let mut page = store.deliveries(status, &paging.request()).await?;
    let mut data = std::mem::take(&mut page.rows);
    while let Some(request) = paging.further(&page) {
        page = store.deliveries(status, &request).await?;
        data.append(&mut page.rows);
    }
    let list = List { data, next_cursor: page.next_cursor };
    output.show(&list, || rows(&list.data))?;
    more(output, list.next_cursor.as_deref())
}

async fn replay(session: &Session, again: &Again, output: Output) -> Result {
    // Of one time, so that what fails again meanwhile is not sent a third time.
    let act = session.act();
    let mut replayed = Vec::new();
    for id in &again.ids {
        let found = session.store.replay(&act, &Replay::Named(id.clone())).await?;
        if found.is_empty() {
            return Err(Failure::failed(format!("there is no delivery or delivered event {id}"))
                .with_hint("`keygate webhook list` lists them"));
        }
        replayed.extend(found);
    }
    if again.failed {
        replayed = all_failed(session, &act).await?;
    }
    let count = replayed.len();
    let plural = if count == 1 { "y is" } else { "ies are" };
    output.show(&Replayed { replayed }, || format!("{count} deliver{plural} sent again."))
}

/// In batches, so that no transaction is long.
async fn all_failed(session: &Session, act: &Act) -> Result<Vec<DeliveryId>> {
    let mut replayed = Vec::new();
    loop {
        let some = session.store.replay(act, &Replay::Failed(BATCH)).await?;
        if some.is_empty() {
            return Ok(replayed);
        }
        replayed.extend(some);
    }
}

fn rows(deliveries: &[Delivery]) -> String {
    let row = |delivery: &Delivery| {
        vec![
            delivery.id.to_string(),
            delivery.kind.clone(),
            delivery.subject.clone(),
            delivery.url.clone(),
            delivery.status.name().to_owned(),
            delivery.attempts.to_string(),
            time(delivery.created_at),
            time_or(delivery.next_attempt_at, ""),
            delivery.last_error.clone().unwrap_or_default(),
        ]
    };
    let heads =
        ["ID", "EVENT", "ABOUT", "TO", "STATUS", "ATTEMPTS", "HAPPENED", "NEXT ATTEMPT", "ERROR"];
    table(&heads, deliveries.iter().map(row).collect())
}
