//! `audit`: who changed what, when, from where.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::Globals;
use super::failure::{Failure, Result};
use super::output::{self, List, Output, table, time};
use super::owner::{Paging, more};
use super::session::Session;
use crate::config::units;
use crate::domain::rotation::earlier;
use crate::domain::{AuditRow, ChainBreak, ChainFault, ChainHead, ChainVerdict};
use crate::store::AuditFilter;

/// `audit`.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    command: Option<Verb>,
    #[command(flatten)]
    listed: Listed,
}

/// What else is done with the log.
#[derive(Debug, Subcommand)]
enum Verb {
    /// Go through the whole log and say whether it is as it was written; exit code 0 or 1
    Verify(Verify),
}

/// `audit verify`.
#[derive(Debug, Args)]
struct Verify {
    /// The hash that an earlier run told, whose row must still be there: what is cut off behind the
    /// last row can't be seen otherwise
    #[arg(long, value_name = "HASH", value_parser = hash)]
    expect: Option<String>,
}

/// Which changes are listed.
#[derive(Debug, Args)]
struct Listed {
    /// Only changes of so long: `24h`, `7d`
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration)]
    since: Option<Duration>,
    /// Only changes by this actor: `keygate`, `command:USER`, `key:ID`, `token:ID`, `setup`
    #[arg(long)]
    actor: Option<String>,
    /// Only changes of this key
    #[arg(long, value_name = "ID")]
    key: Option<String>,
    #[command(flatten)]
    paging: Paging,
}

impl Listed {
    fn is_narrowed(&self) -> bool {
        let Self { since, actor, key, paging: Paging { limit, cursor } } = self;
        let texts = [actor, key, cursor].into_iter().any(Option::is_some);
        texts || since.is_some() || limit.is_some()
    }
}

/// Does what was asked of the log.
pub(crate) async fn run(audit: Audit, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let output = globals.output();
    match audit.command {
        None => list(&session, audit.listed, output).await,
        // Not by clap, which would refuse `--json` and `--config` in this place too.
        Some(Verb::Verify(_)) if audit.listed.is_narrowed() => {
            Err(Failure::mistaken("`audit verify` goes through the whole log")
                .with_hint("leave out what narrows the list: --since, --actor, --key, --limit"))
        }
        Some(Verb::Verify(Verify { expect })) => {
            let verdict = session.store.verify_audit(expect.as_deref()).await?;
            tell(&verdict, expect.is_some(), output)
        }
    }
}

/// Lists changes, newest first.
async fn list(session: &Session, audit: Listed, output: Output) -> Result {
    let since = audit.since.map(|length| earlier(session.now(), length));
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

fn tell(verdict: &ChainVerdict, is_expected: bool, output: Output) -> Result {
    if output.json {
        output::object(&as_json(verdict, is_expected))?;
    }
    match verdict {
        ChainVerdict::Unbroken { .. } if output.json => Ok(()),
        ChainVerdict::Unbroken { rows, head } => output::line(&unbroken(*rows, head.as_ref())),
        ChainVerdict::Broken(ChainBreak { place, id, how }) => {
            let row = id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
            let failure = format!("the audit log is broken at row {place}{row}: {}", said(*how));
            Err(Failure::failed(failure).with_hint(
                "the rows before it are as they were written. Compare with a backup, and find out \
                 who can write to the store beside keygate",
            ))
        }
        ChainVerdict::Lacks { rows } => {
            let failure = format!(
                "the audit log has {rows} rows, each follows from the one before, and none has the \
                 hash that was expected: it was cut off or written anew"
            );
            Err(Failure::failed(failure).with_hint(
                "is it the hash that `keygate audit verify` told of this very store? Then compare \
                 with a backup",
            ))
        }
    }
}

fn unbroken(rows: u64, head: Option<&ChainHead>) -> String {
    match head {
        Some(ChainHead { at, hash, .. }) => {
            format!("{rows} rows, unbroken, the last of {}, hash {hash}", time(*at))
        }
        None => "no rows yet".to_owned(),
    }
}

fn as_json(verdict: &ChainVerdict, is_expected: bool) -> Value {
    let expected = |found: bool| is_expected.then_some(found);
    match verdict {
        ChainVerdict::Unbroken { rows, head } => {
            json!({ "unbroken": true, "rows": rows, "last": head, "expected_found": expected(true) })
        }
        ChainVerdict::Lacks { rows } => {
            json!({ "unbroken": true, "rows": rows, "expected_found": expected(false) })
        }
        ChainVerdict::Broken(broken) => json!({ "unbroken": false, "broken_at": broken }),
    }
}

fn said(how: ChainFault) -> &'static str {
    match how {
        ChainFault::Changed => "it is not what was written there",
        ChainFault::Missing => "it is missing",
        ChainFault::Moved => "it is what was written, but in another place",
        ChainFault::Unlinked => "it does not follow from the row before, or from none",
    }
}

/// As `audit verify` tells it.
fn hash(text: &str) -> Result<String, String> {
    let is_hash = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hash { Ok(text.to_lowercase()) } else { Err("a hash has 64 hex digits".to_owned()) }
}
