//! `owner …`: the accounts and organizations that keys belong to.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::Globals;
use super::failure::Result;
use super::output::{List, Output, fields, say, table, time};
use super::receipt::{Waiting, confirmed};
use super::session::Session;
use crate::cluster::Receipt;
use crate::domain;
use crate::store::{Page, PageRequest};

/// `owner …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Owner {
    /// Make an owner
    Create {
        /// A name that no other owner has
        name: String,
    },
    /// List all owners, newest first
    List(Paging),
    /// Show one owner
    Show(Named),
    /// Stop all keys of an owner at once, reversibly
    Disable(Disable),
    /// Let the keys of an owner call again
    Enable(Named),
}

/// An owner by name or id.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its name or id
    #[arg(value_name = "OWNER")]
    owner: String,
}

/// `owner disable`.
#[derive(Debug, Args)]
pub(crate) struct Disable {
    #[command(flatten)]
    named: Named,
    #[command(flatten)]
    waiting: Waiting,
}

/// A disabled owner as programs get it.
#[derive(Serialize)]
struct Disabled {
    #[serde(flatten)]
    owner: domain::Owner,
    #[serde(flatten)]
    receipt: Option<Receipt>,
}

/// Which part of a list.
#[derive(Debug, Args)]
pub(crate) struct Paging {
    /// Rows at most, 1 to 1000; else all
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: Option<u32>,
    /// Begin behind here: the `next_cursor` of the page before
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

/// Does what was asked of owners.
pub(crate) async fn run(command: Owner, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let (mint, output) = (session.mint(), globals.output());
    match command {
        Owner::Create { name } => {
            let owner = mint.create_owner(name).await?;
            tell(output, &owner, "Created")
        }
        Owner::List(paging) => list(&session, &paging, output).await,
        Owner::Show(named) => {
            let owner = mint.owner(&named.owner).await?;
            output.show(&owner, || shown(&owner))
        }
        Owner::Disable(disable) => run_disable(&session, &disable, output).await,
        Owner::Enable(named) => {
            tell(output, &mint.set_owner_disabled(&named.owner, false).await?, "Enabled")
        }
    }
}

impl Paging {
    /// The page to ask for first.
    pub(crate) fn request(&self) -> PageRequest {
        PageRequest { after: self.cursor.clone(), limit: self.limit.unwrap_or(1000) }
    }

    /// The page to ask for after this one; `None` where it was the last that was wanted.
    pub(crate) fn further<T>(&self, page: &Page<T>) -> Option<PageRequest> {
        let after = page.next_cursor.clone().filter(|_| self.limit.is_none())?;
        Some(PageRequest { after: Some(after), limit: 1000 })
    }
}

async fn run_disable(session: &Session, disable: &Disable, output: Output) -> Result {
    let owner = session.mint().set_owner_disabled(&disable.named.owner, true).await?;
    let receipt = disable.waiting.receipt(session).await?;
    let disabled = Disabled { owner, receipt };
    let Disabled { owner, receipt } = &disabled;
    let done = || format!("Disabled owner `{}` ({})", owner.name, owner.id);
    output.show(&disabled, || confirmed(&done(), receipt.as_ref()))
}

async fn list(session: &Session, paging: &Paging, output: Output) -> Result {
    let mut page = session.store.owners(&paging.request()).await?;
    let mut data = std::mem::take(&mut page.rows);
    while let Some(request) = paging.further(&page) {
        page = session.store.owners(&request).await?;
        data.append(&mut page.rows);
    }
    let list = List { data, next_cursor: page.next_cursor };
    output.show(&list, || rows(&list.data))?;
    more(output, list.next_cursor.as_deref())
}

/// Says where the next page begins, if there is one.
pub(crate) fn more(output: Output, cursor: Option<&str>) -> Result {
    match cursor {
        Some(cursor) if !output.json => say(&format!("There are more: --cursor {cursor}")),
        _ => Ok(()),
    }
}

fn tell(output: Output, owner: &domain::Owner, done: &str) -> Result {
    output.show(owner, || format!("{done} owner `{}` ({}).", owner.name, owner.id))
}

fn shown(owner: &domain::Owner) -> String {
    fields(vec![
        ("Id", owner.id.to_string()),
        ("Name", owner.name.clone()),
        ("Status", status(owner).to_owned()),
        ("Created", time(owner.created_at)),
    ])
}

fn rows(owners: &[domain::Owner]) -> String {
    let row = |owner: &domain::Owner| {
        vec![
            owner.id.to_string(),
            owner.name.clone(),
            status(owner).to_owned(),
            time(owner.created_at),
        ]
    };
    table(&["ID", "NAME", "STATUS", "CREATED"], owners.iter().map(row).collect())
}

fn status(owner: &domain::Owner) -> &'static str {
    if owner.disabled { "disabled" } else { "active" }
}
