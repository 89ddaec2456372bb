//! What needs attention: each with where it is dealt with.

use jiff::Timestamp;

use crate::admin::AdminState;
use crate::admin::dashboard::keys::query::{EXPIRING, UNUSED};
use crate::admin::dashboard::words::{Moment, counted, percent};
use crate::admin::live::ReadyReport;
use crate::domain::rotation::{earlier, later};
use crate::domain::{InstanceStatus, KeyStatus, KeyWithSecrets, Month, SeenInstance};
use crate::proxy::plan::{Plan, UpstreamPlan};
use crate::store::deliveries::DeliveryStatus;
use crate::store::{KeyFilter, Overdue, Page, PageRequest, Result};

/// Things that an entry names; of the others it says that there are more.
const NAMED: u32 = 5;
/// From which lag on an instance is behind: a change is to be in force within a tenth of it.
const LAG_MS: u64 = 1_000;

/// All that needs attention, what is worst first.
#[derive(Default)]
pub(super) struct Attention {
    pub(super) entries: Vec<Entry>,
    /// What is not known while the store is out of reach.
    pub(super) unknown: Vec<&'static str>,
}

/// One matter.
pub(super) struct Entry {
    /// `bad`: something does not work; `warn`: something will not.
    pub(super) tone: &'static str,
    pub(super) title: String,
    /// What it means and what to do.
    pub(super) advice: String,
    /// Where it is dealt with.
    pub(super) address: String,
    pub(super) things: Vec<Thing>,
    /// Whether there are more than are named.
    pub(super) more: bool,
}

/// What a matter is about.
pub(super) struct Thing {
    pub(super) name: String,
    pub(super) address: Option<String>,
    pub(super) note: String,
}

/// Looks at everything, in the store at all at once.
pub(super) async fn attention(state: &AdminState) -> Attention {
    let now = state.now();
    let mut found =
        Attention { entries: here(state.live.ready(), &state.live.plan()), unknown: vec![] };
    let (instances, budgets, rotations, ends, unused, webhooks) = tokio::join!(
        instances(state),
        budgets(state, now),
        rotations(state, now),
        ends(state, now),
        unused(state, now),
        webhooks(state),
    );
    found.add("instances", instances);
    found.add("webhooks", webhooks);
    found.add("budgets", budgets);
    found.add("rotation", rotations);
    found.add("expiry", ends);
    found.add("unused keys", unused);
    found.entries.sort_by_key(|entry| entry.tone != "bad");
    found
}

impl Attention {
    fn add(&mut self, what: &'static str, found: Result<Option<Entry>>) {
        match found {
            Ok(entry) => self.entries.extend(entry),
            Err(error) => {
                tracing::warn!(%error, what, "the overview does not know everything");
                self.unknown.push(what);
            }
        }
    }
}

/// What this instance knows by itself.
fn here(ready: ReadyReport, plan: &Plan) -> Vec<Entry> {
    let entry = |title: &str, advice: &str, address: &str| Entry {
        tone: "bad",
        title: title.to_owned(),
        advice: advice.to_owned(),
        address: address.to_owned(),
        things: Vec::new(),
        more: false,
    };
    let mut entries = Vec::new();
    if !ready.store_up {
        let advice = "Keys that are cached go on working for a while, others are answered with 503. \
                      Look after the database.";
        entries.push(entry("The store is out of reach", advice, "/settings"));
    }
    if ready.redis_up == Some(false) {
        let advice = "Each instance counts limits by its own share until it is back.";
        entries.push(entry("Redis is out of reach", advice, "/settings"));
    }
    if ready.draining {
        let advice = "It takes no new connections and ends once what runs is done.";
        entries.push(entry("This instance is ending", advice, "/settings#instances"));
    }
    entries.extend(plan.upstreams.iter().filter_map(upstream));
    entries
}

fn upstream(upstream: &UpstreamPlan) -> Option<Entry> {
    let down: Vec<_> = upstream.all_targets().filter(|target| !target.state.stands()).collect();
    if down.is_empty() {
        return None;
    }
    let all = upstream.all_targets().count();
    let name = &upstream.upstream.name;
    let (tone, title) = if down.len() == all {
        ("bad", format!("The upstream {name} is down"))
    } else {
        ("warn", format!("The upstream {name} is partly down"))
    };
    let thing = |name: &String| Thing { name: name.clone(), address: None, note: String::new() };
    Some(Entry {
        tone,
        title,
        advice: format!(
            "{} of {} left out. Requests come back to a target once it answers.",
            down.len(),
            counted(all as u64, "target")
        ),
        address: "/routes#upstreams".to_owned(),
        things: down.iter().map(|target| thing(&target.target.authority)).collect(),
        more: false,
    })
}

async fn instances(state: &AdminState) -> Result<Option<Entry>> {
    let seen = state.store.instances().await?;
    Ok(behind(&seen))
}

fn behind(seen: &[SeenInstance]) -> Option<Entry> {
    let note = |seen: &SeenInstance| match seen.status {
        InstanceStatus::Silent => Some(format!("silent for {} s", seen.seen_ms_ago / 1_000)),
        InstanceStatus::Running if seen.lag_ms > LAG_MS => {
            Some(format!("{} ms behind", seen.lag_ms))
        }
        InstanceStatus::Running => None,
    };
    let things = seen.iter().filter_map(|seen| {
        let note = note(seen)?;
        Some(Thing { name: seen.instance.host.clone(), address: None, note })
    });
    let things: Vec<Thing> = things.collect();
    let advice = "Until it catches up or ends it may let in whom it let in before a change.";
    (!things.is_empty()).then(|| Entry {
        tone: "warn",
        title: format!("{} behind or silent", counted(things.len() as u64, "instance")),
        advice: advice.to_owned(),
        address: "/settings#instances".to_owned(),
        things,
        more: false,
    })
}

async fn budgets(state: &AdminState, now: Timestamp) -> Result<Option<Entry>> {
    let mut near = state.store.near_budget(Month::of(now), NAMED + 1).await?;
    let more = near.len() > NAMED as usize;
    near.truncate(NAMED as usize);
    let things: Vec<Thing> = near
        .iter()
        .map(|near| Thing {
            name: near.name.clone(),
            address: Some(format!("/keys/{}", near.key)),
            note: format!("{} %", percent(near.spent.get(), near.budget.get())),
        })
        .collect();
    Ok((!things.is_empty()).then(|| Entry {
        tone: "warn",
        title: "Budgets near their end".to_owned(),
        advice: "80 % or more of the month is spent. At its end requests are answered with 402."
            .to_owned(),
        address: "/keys".to_owned(),
        things,
        more,
    }))
}

async fn rotations(state: &AdminState, now: Timestamp) -> Result<Option<Entry>> {
    let config = state.loaded();
    let overdue = Some(Overdue::under(&config.config.keys, now));
    let filter = KeyFilter { overdue, ..active(now) };
    let keys = first(state, &filter).await?;
    let note = |held: &KeyWithSecrets| {
        let made = held.newest_secret().map(|secret| Moment::new(secret.created_at, now));
        made.map(|made| format!("secret made {}", made.relative())).unwrap_or_default()
    };
    let advice = "Their secrets are older than they should be. Rotate them; the old ones go on \
                  working for a while.";
    Ok(of_keys("Rotation overdue", advice, "/keys?overdue=yes", &keys, note))
}

async fn ends(state: &AdminState, now: Timestamp) -> Result<Option<Entry>> {
    let expiring = Some((now, later(now, EXPIRING)));
    let keys = first(state, &KeyFilter { expiring, ..active(now) }).await?;
    let note = |held: &KeyWithSecrets| {
        held.key.expires_at.map(|end| Moment::new(end, now).relative()).unwrap_or_default()
    };
    let advice = "They stop by themselves within 7 days. Give those that are needed another end.";
    Ok(of_keys("Expiring soon", advice, "/keys?expiring=yes", &keys, note))
}

async fn unused(state: &AdminState, now: Timestamp) -> Result<Option<Entry>> {
    let filter = KeyFilter { unused_since: Some(earlier(now, UNUSED)), ..active(now) };
    let keys = first(state, &filter).await?;
    let note = |held: &KeyWithSecrets| match held.last_used_at() {
        Some(at) => format!("last used {}", Moment::new(at, now).relative()),
        None => "never used".to_owned(),
    };
    let advice = "Nobody called with them for 30 days. Disable or revoke what nobody needs.";
    Ok(of_keys("Unused keys", advice, "/keys?unused=yes", &keys, note))
}

async fn webhooks(state: &AdminState) -> Result<Option<Entry>> {
    let page = PageRequest { after: None, limit: NAMED };
    let failed = state.store.deliveries(Some(DeliveryStatus::Failed), &page).await?;
    let thing = |delivery: &crate::store::deliveries::Delivery| Thing {
        name: delivery.kind.clone(),
        address: None,
        note: format!("to {}", delivery.url),
    };
    let things: Vec<Thing> = failed.rows.iter().map(thing).collect();
    let advice = "They were tried for a day and given up. Mend the endpoint, then send them again.";
    Ok((!things.is_empty()).then(|| Entry {
        tone: "bad",
        title: "Webhook deliveries failed".to_owned(),
        advice: advice.to_owned(),
        address: "/webhooks?status=failed".to_owned(),
        things,
        more: failed.next_cursor.is_some(),
    }))
}

fn active(now: Timestamp) -> KeyFilter {
    KeyFilter { status: Some((KeyStatus::Active, now)), ..KeyFilter::default() }
}

async fn first(state: &AdminState, filter: &KeyFilter) -> Result<Page<KeyWithSecrets>> {
    state.store.keys(filter, &PageRequest { after: None, limit: NAMED }).await
}

fn of_keys(
    title: &str,
    advice: &str,
    address: &str,
    keys: &Page<KeyWithSecrets>,
    note: impl Fn(&KeyWithSecrets) -> String,
) -> Option<Entry> {
    let thing = |held: &KeyWithSecrets| Thing {
        name: held.key.name.clone(),
        address: Some(format!("/keys/{}", held.key.id)),
        note: note(held),
    };
    (!keys.rows.is_empty()).then(|| Entry {
        tone: "warn",
        title: title.to_owned(),
        advice: advice.to_owned(),
        address: address.to_owned(),
        things: keys.rows.iter().map(thing).collect(),
        more: keys.next_cursor.is_some(),
    })
}
