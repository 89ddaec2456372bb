//! `agent …`: keys, in the words of Agent OTP.

use clap::Subcommand;

use super::Globals;
use super::failure::Result;
use super::key::{self, Create, Named, create, revoke};
use super::output::{Output, say, say_before, table, time, time_or};
use super::owner::{Paging, more};
use super::receipt::{Waiting, confirmed};
use super::session::Session;
use crate::domain::KeyWithSecrets;
use crate::store::KeyFilter;

/// `agent …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Agent {
    /// Create an agent and its API key, which is printed once
    Create(Box<Create>),
    /// List agents, newest first
    List(Paging),
    /// Revoke an agent's API key at once and for good
    Revoke {
        /// The agent's id
        #[arg(long)]
        id: String,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        #[command(flatten)]
        waiting: Waiting,
    },
}

/// Does what was asked of agents.
pub(crate) async fn run(command: Agent, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let output = globals.output();
    match command {
        Agent::Create(new) => run_create(&session, *new, output).await,
        Agent::List(paging) => list(&session, &paging, output).await,
        Agent::Revoke { id, reason, waiting } => {
            let key = Named { id }.find(&session).await?;
            let ended = revoke(&session, &key, reason.as_deref(), waiting).await?;
            let done = || format!("Agent {} (`{}`) revoked", key.key.id, key.key.name);
            output.show(&ended, || confirmed(&done(), ended.receipt.as_ref()))
        }
    }
}

/// Says on both streams together what Agent OTP's guide shows, with the secret alone on stdout.
async fn run_create(session: &Session, new: Create, output: Output) -> Result {
    let quiet = new.quiet || output.json;
    let (key, minted) = create(session, new).await?;
    if !quiet {
        say("Agent created successfully!")?;
        say_before("API Key: ")?;
    }
    key::print_secret(session, &key, &minted, true, output).await
}

async fn list(session: &Session, paging: &Paging, output: Output) -> Result {
    let page = key::keys(session, &KeyFilter::default(), paging).await?;
    let now = session.now();
    let row = |held: &KeyWithSecrets| {
        vec![
            held.key.id.to_string(),
            held.key.name.clone(),
            held.key.status(now).name().to_owned(),
            time(held.key.created_at),
            time_or(held.last_used_at(), "never"),
        ]
    };
    let headings = ["ID", "NAME", "STATUS", "CREATED", "LAST USED"];
    let rows = || table(&headings, page.rows.iter().map(row).collect());
    output.show(&key::views(session, &page).await?, rows)?;
    more(output, page.next_cursor.as_deref())
}
