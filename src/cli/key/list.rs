//! `key list`.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;

use crate::auth::view::KeyView;
use crate::cli::failure::Result;
use crate::cli::output::{self, Output, joined, table, time_or};
use crate::cli::owner::{Paging, more};
use crate::cli::session::Session;
use crate::cli::typed;
use crate::config::units;
use crate::domain::rotation::earlier;
use crate::domain::{KeyStatus, KeyWithSecrets, OwnerId};
use crate::store::{KeyFilter, Overdue, Page};

/// `key list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only keys of this owner
    #[arg(long)]
    owner: Option<String>,
    /// Only keys in this status
    #[arg(long, value_parser = typed::status())]
    status: Option<KeyStatus>,
    /// Only keys whose newest secret is older than this, like `90d`
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    older_than: Option<Duration>,
    /// Only keys that were not used for so long, like `30d`
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    unused_for: Option<Duration>,
    /// Only active keys whose rotation is overdue
    #[arg(long, conflicts_with = "status")]
    overdue: bool,
    #[command(flatten)]
    paging: Paging,
}

/// Lists keys.
pub(crate) async fn run(session: &Session, wanted: &List, output: Output) -> Result {
    let filter = filter(session, wanted).await?;
    let page = keys(session, &filter, &wanted.paging).await?;
    let owners = owner_names(session, &page.rows).await?;
    let list = views(session, &page).await?;
    output.show(&list, || rows(session, &page.rows, &owners))?;
    more(output, list.next_cursor.as_deref())
}

/// The keys that are wanted: all, or one page of them.
pub(crate) async fn keys(
    session: &Session,
    filter: &KeyFilter,
    paging: &Paging,
) -> Result<Page<KeyWithSecrets>> {
    let mut page = session.store.keys(filter, &paging.request()).await?;
    let mut rows = std::mem::take(&mut page.rows);
    while let Some(request) = paging.further(&page) {
        page = session.store.keys(filter, &request).await?;
        rows.append(&mut page.rows);
    }
    Ok(Page { rows, next_cursor: page.next_cursor })
}

/// Keys as programs get them.
pub(crate) async fn views<'a>(
    session: &Session,
    page: &'a Page<KeyWithSecrets>,
) -> Result<output::List<KeyView<'a>>> {
    let data = session.views(&page.rows).await?;
    Ok(output::List { data, next_cursor: page.next_cursor.clone() })
}

/// The names of the keys' owners.
pub(crate) async fn owner_names(
    session: &Session,
    keys: &[KeyWithSecrets],
) -> Result<BTreeMap<OwnerId, String>> {
    let mut names = BTreeMap::new();
    for id in keys.iter().map(|key| &key.key.owner_id) {
        if !names.contains_key(id)
            && let Some(owner) = session.store.owner(id.as_str()).await?
        {
            names.insert(id.clone(), owner.name);
        }
    }
    Ok(names)
}

async fn filter(session: &Session, wanted: &List) -> Result<KeyFilter> {
    let now = session.now();
    let owner = match &wanted.owner {
        Some(owner) => Some(session.mint().owner(owner).await?.id),
        None => None,
    };
    let active = wanted.overdue.then_some(KeyStatus::Active);
    Ok(KeyFilter {
        owner,
        status: wanted.status.or(active).map(|status| (status, now)),
        secret_older_than: wanted.older_than.map(|length| earlier(now, length)),
        unused_since: wanted.unused_for.map(|length| earlier(now, length)),
        overdue: wanted.overdue.then(|| Overdue::under(&session.config().keys, now)),
        ..KeyFilter::default()
    })
}

fn rows(session: &Session, keys: &[KeyWithSecrets], owners: &BTreeMap<OwnerId, String>) -> String {
    let now = session.now();
    let row = |held: &KeyWithSecrets| {
        let key = &held.key;
        vec![
            key.id.to_string(),
            key.name.clone(),
            owners.get(&key.owner_id).cloned().unwrap_or_else(|| key.owner_id.to_string()),
            key.environment.to_string(),
            key.status(now).name().to_owned(),
            joined(&key.scopes, "-"),
            time_or(key.expires_at, "never"),
            time_or(held.last_used_at(), "never"),
        ]
    };
    let headings =
        ["ID", "NAME", "OWNER", "ENVIRONMENT", "STATUS", "SCOPES", "EXPIRES", "LAST USED"];
    table(&headings, keys.iter().map(row).collect())
}
