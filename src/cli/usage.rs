//! `usage`: what was used, and what it cost.

use std::time::Duration;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use serde::Serialize;

use super::Globals;
use super::failure::Result;
use super::output::{List, table};
use super::session::Session;
use crate::config::units;
use crate::domain::rotation::earlier;
use crate::domain::{KeyId, Millionths};
use crate::store::{UsageBy, UsageFilter, UsageRow};

/// `usage`.
#[derive(Debug, Args)]
pub(crate) struct Usage {
    /// Only of this key
    #[arg(long, value_name = "ID", conflicts_with = "owner")]
    key: Option<String>,
    /// Only of this owner's keys
    #[arg(long, value_name = "OWNER")]
    owner: Option<String>,
    /// Only of so long: `24h`, `7d`
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    since: Option<Duration>,
    /// What is added up; days and hours are those of UTC
    #[arg(long, value_parser = by(), default_value = "day")]
    by: UsageBy,
}

/// A row as programs get it.
#[derive(Serialize)]
struct Row {
    group: String,
    requests: u64,
    cost: Millionths,
}

/// Lists what was used, in the order of the groups.
pub(crate) async fn run(usage: Usage, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let owner = match usage.owner {
        Some(owner) => Some(session.mint().owner(&owner).await?.id),
        None => None,
    };
    let since = usage.since.map(|length| earlier(session.now(), length));
    let filter = UsageFilter { key: usage.key.map(KeyId::from_text), owner, since };
    let rows = session.store.usage(&filter, usage.by).await?;
    let row = |UsageRow { group, requests, cost }| Row { group, requests, cost };
    let list = List { data: rows.into_iter().map(row).collect(), next_cursor: None };
    globals.output().show(&list, || shown(&list.data, usage.by))
}

fn shown(rows: &[Row], by: UsageBy) -> String {
    if rows.is_empty() {
        return "Nothing was used.".to_owned();
    }
    let row = |row: &Row| vec![row.group.clone(), row.requests.to_string(), row.cost.to_string()];
    table(&[&by.name().to_uppercase(), "REQUESTS", "COST"], rows.iter().map(row).collect())
}

/// `--by`.
fn by() -> impl TypedValueParser<Value = UsageBy> {
    PossibleValuesParser::new(UsageBy::ALL.map(UsageBy::name))
        .map(|name| name.parse().expect("the parser lets only these names through"))
}
