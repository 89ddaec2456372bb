//! One owner: its keys, what they use day by day, its credits.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use crate::admin::AdminState;
use crate::admin::access::{Caller, SignedIn};
use crate::admin::dashboard::chart::Chart;
use crate::admin::dashboard::keys::usage::{DAYS, chart};
use crate::admin::dashboard::words::{Moment, count, page_from};
use crate::admin::dashboard::{Fields, Frame, PageError, Section, page, receipt};
use crate::domain::{KeyWithSecrets, Millionths, Owner, OwnerId};
use crate::store::credits::balance;
use crate::store::{Credits, KeyFilter, StoreError, UsageBy, UsageFilter, UsageRow};

/// Keys that are shown; the page of keys has all.
const KEYS: u32 = 20;

#[derive(Template)]
#[template(path = "owner.html")]
pub(super) struct Shown {
    frame: Frame,
    id: String,
    name: String,
    status: &'static str,
    created: Moment,
    keys: Vec<Key>,
    has_more_keys: bool,
    chart: Chart,
    days: Vec<Day>,
    requests: String,
    cost: String,
    credits: Option<Money>,
    /// What was just done.
    pub(super) done: Option<Done>,
    /// What was typed to add credits, and what for.
    pub(super) amount: String,
    pub(super) reason: String,
    /// Why nothing was added.
    pub(super) wrong: Option<String>,
}

/// What was done, and who has confirmed it.
pub(super) struct Done {
    pub(super) text: String,
    pub(super) receipt: Option<receipt::Words>,
}

struct Key {
    id: String,
    name: String,
    hint: String,
    environment: &'static str,
    status: &'static str,
    used: Option<Moment>,
}

struct Day {
    date: String,
    requests: String,
    cost: String,
}

struct Money {
    left: String,
    is_spent: bool,
    /// Below which `credits.low` is told.
    low: Option<String>,
    /// How much is asked for, below which balance.
    recharge: Option<(String, String)>,
    recharge_asked: bool,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    Path(id): Path<String>,
    asked: Fields,
) -> Result<Response, PageError> {
    let mut shown = shown(&state, &caller, &find(&state, &id).await?).await?;
    // Said by the form's answer, which leads here; whatever else stands there is not repeated.
    let added = asked.text("added").parse::<Millionths>().ok();
    shown.done =
        added.map(|amount| Done { text: format!("Added {amount} credits."), receipt: None });
    Ok(page(&shown))
}

/// The owner of that id.
pub(super) async fn find(state: &AdminState, id: &str) -> Result<Owner, PageError> {
    let found = state.store.owner(id).await?.filter(|owner| owner.id.as_str() == id);
    found.ok_or_else(|| {
        let message = "There is no owner of that id. The page of owners lists all.";
        PageError::new(StatusCode::NOT_FOUND, message)
    })
}

/// `active` or `disabled`.
pub(super) fn status(owner: &Owner) -> &'static str {
    if owner.disabled { "disabled" } else { "active" }
}

/// The page of an owner.
pub(super) async fn shown(
    state: &AdminState,
    caller: &Caller,
    owner: &Owner,
) -> Result<Shown, PageError> {
    let now = state.now();
    let filter = KeyFilter { owner: Some(owner.id.clone()), ..KeyFilter::default() };
    let keys = state.store.keys(&filter, &page_from(None, KEYS)).await?;
    let used = used(state, &owner.id, now).await?;
    let credits = match owner.credit_changes {
        0 => None,
        _ => state.store.credits(&owner.id).await?,
    };
    Ok(Shown {
        frame: Frame::new(owner.name.clone(), Section::Owners, caller),
        id: owner.id.to_string(),
        name: owner.name.clone(),
        status: status(owner),
        created: Moment::new(owner.created_at, now),
        keys: keys.rows.iter().map(|key| Key::new(key, now)).collect(),
        has_more_keys: keys.next_cursor.is_some(),
        chart: used.chart,
        days: used.days,
        requests: count(used.requests),
        cost: used.cost.to_string(),
        credits: credits.as_ref().map(Money::new),
        done: None,
        amount: String::new(),
        reason: String::new(),
        wrong: None,
    })
}

/// What its keys have used.
struct Used {
    chart: Chart,
    /// Days with any, the last one first.
    days: Vec<Day>,
    requests: u64,
    cost: Millionths,
}

async fn used(state: &AdminState, owner: &OwnerId, now: Timestamp) -> Result<Used, StoreError> {
    let since = now.checked_sub(SignedDuration::from_hours(24 * (DAYS - 1))).ok();
    let filter = UsageFilter { owner: Some(owner.clone()), since, ..UsageFilter::default() };
    let rows = state.store.usage(&filter, UsageBy::Day).await?;
    let cost = rows.iter().fold(0_i64, |sum, row| sum.saturating_add(row.cost.get()));
    Ok(Used {
        chart: chart(now, &rows),
        days: rows.iter().rev().map(Day::new).collect(),
        requests: rows.iter().map(|row| row.requests).sum(),
        cost: Millionths::new(cost).unwrap_or_default(),
    })
}

impl Day {
    fn new(row: &UsageRow) -> Self {
        Self { date: row.group.clone(), requests: count(row.requests), cost: row.cost.to_string() }
    }
}

impl Key {
    fn new(held: &KeyWithSecrets, now: Timestamp) -> Self {
        let newest = held.newest_secret();
        Self {
            id: held.key.id.to_string(),
            name: held.key.name.clone(),
            hint: newest.map(|secret| secret.hint.clone()).unwrap_or_default(),
            environment: held.key.environment.name(),
            status: held.key.status(now).name(),
            used: Moment::of(held.last_used_at(), now),
        }
    }
}

impl Money {
    fn new(credits: &Credits) -> Self {
        Self {
            left: balance(credits.balance),
            is_spent: credits.balance <= 0,
            low: credits.low_threshold.map(|low| low.to_string()),
            recharge: credits
                .recharge
                .map(|recharge| (recharge.amount.to_string(), recharge.threshold.to_string())),
            recharge_asked: credits.recharge_asked,
        }
    }
}
