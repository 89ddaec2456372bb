//! `audit`: who changed what, when, from where.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::Globals;
use super::failure::Result;
use super::output::{List, table, time};
use super::owner::{Paging, more};
use super::session::Session;
use super::typed::before;
use crate::config::units;
use crate::domain::AuditRow;
use crate::store::AuditFilter;

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// Only changes of so long: `24h`, `7d`
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    since: Option<Duration>,
    /// Only changes by this actor: `keygate`, `command:USER`, `key:ID`
    #[arg(long)]
    actor: Option<String>,
    /// Only changes of this key
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

/// Lists changes, newest first.
pub(crate) async fn run(audit: Audit, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let output = globals.output();
    let since = audit.since.map(|length| before(session.now(), length));
    let filter =
        AuditFilter { since, actor: audit.actor, target: audit.key, ..AuditFilter::default() };
    let paging = audit.paging;
    let mut page = session.store.audit(&filter, &paging.request()).await?;
    let mut data = std::mem::take(&mut page.rows);
    while let Some(request) = paging.further(&page) {
        page = session.store.audit(&filter, &request).await?;
        data.append(&mut page.rows);
    }
    let list = List { data, next_cursor: page.next_cursor };
    output.show(&list, || rows(&list.data))?;
    more(output, list.next_cursor.as_deref())
}

fn rows(audit: &[AuditRow]) -> String {
    let text = |value: &Option<Value>| value.as_ref().map_or_else(String::new, Value::to_string);
    let row = |row: &AuditRow| {
        vec![
            time(row.at),
            row.actor.clone(),
            row.address.clone().unwrap_or_default(),
            row.action.clone(),
            row.target.clone(),
            text(&row.before),
            text(&row.after),
            row.reason.clone().unwrap_or_default(),
        ]
    };
    let heads = ["AT", "ACTOR", "FROM", "ACTION", "TARGET", "BEFORE", "AFTER", "REASON"];
    table(&heads, audit.iter().map(row).collect())
}
