//! `usage.unusual`: a key's requests of the last hour against the same key's own history.
//!
//! The rule is plain, so that who gets the event can check it by hand: [`judge`]. It is made to be
//! silent: nothing is told of what a key did before at that time of the day, of growth, of noise, or
//! of a key whose week is not known yet.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::domain::{Event, EventKind};
use crate::store::schedule::{HourlyUse, Telling};
use crate::store::{Result, Store};

/// How far back a key's history goes: four weeks, so that each hour of the week is in it four times.
const HISTORY: Duration = Duration::from_hours(28 * 24);
/// Hours of history that there must be: a whole week.
const KNOWN: usize = 7 * 24;
/// Fewer requests in an hour are never told of.
const LEAST: u64 = 100;
/// So many times what there was at that time of the day...
const TIMES: u64 = 3;
/// ...and so many standard deviations above the mean.
const DEVIATIONS: f64 = 6.0;
/// Keys to a question at most: each has up to 673 hours.
const PAGE: u32 = 50;
/// How long after its end an hour is judged: by then its requests are on the books.
const SETTLED: Duration = Duration::from_mins(2);
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;

/// The rule in words, as the event has it.
const RULE: &str = "at least 100 requests in an hour, more than three times the most that the key had in any hour at \
     that time of the day (one hour either way) in the last 28 days, and more than the mean of all its \
     hours by six standard deviations; at least 7 days must be known";

/// Which hour was looked at last.
#[derive(Debug, Default)]
pub struct Hours {
    last: Option<i64>,
}

impl Hours {
    /// Whether there is an hour that was not looked at and has settled.
    pub fn are_to_be_looked_at(&self, now: Timestamp) -> bool {
        let settled = now.as_second() - SETTLED.as_secs().cast_signed();
        let hour = settled.div_euclid(HOUR_S);
        hour == now.as_second().div_euclid(HOUR_S) && self.last != Some(hour)
    }

    /// It was looked at.
    pub fn looked_at(&mut self, now: Timestamp) {
        self.last = Some(now.as_second().div_euclid(HOUR_S));
    }
}

/// What a key's use of an hour was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usual {
    /// The most requests in any hour at that time of the day.
    pub most: u64,
}

/// Whether an hour's requests are unlike the hours before it: `history` has the requests of every
/// hour up to that one, the earliest first, from the key's first known use on.
pub fn judge(history: &[u64], requests: u64) -> Option<Usual> {
    if requests < LEAST || history.len() < KNOWN {
        return None;
    }
    // The hour before, the same hour of yesterday and its neighbours, and so on back.
    let is_near = |ago: usize| matches!(ago % 24, 0 | 1 | 23);
    let near = history.iter().rev().zip(1..).filter(|(_, ago)| is_near(*ago));
    let most = near.map(|(requests, _)| *requests).max().unwrap_or(0);
    if requests <= TIMES * most {
        return None;
    }
    let count = history.len() as f64;
    let mean = history.iter().map(|requests| *requests as f64).sum::<f64>() / count;
    let squares = history.iter().map(|requests| (*requests as f64 - mean).powi(2)).sum::<f64>();
    let deviation = (squares / count).sqrt();
    (requests as f64 > mean + DEVIATIONS * deviation).then_some(Usual { most })
}

/// Judges the last full hour of every key that had enough requests in it; how many were told of. Each
/// is told of once a day (UTC) at most.
pub async fn pass(store: &dyn Store, now: Timestamp) -> Result<usize> {
    let hour_s = (now.as_second().div_euclid(HOUR_S) - 1) * HOUR_S;
    let hour = Timestamp::from_second(hour_s).unwrap_or(now);
    let since = hour.checked_sub(HISTORY).unwrap_or(Timestamp::MIN);
    let (mut told, mut after) = (0, None);
    loop {
        let keys = store.busy_keys(hour, LEAST, since, after.as_ref(), PAGE).await?;
        for used in &keys {
            if let Some(telling) = telling(used, hour, now) {
                told += usize::from(store.tell_once(&telling).await?);
            }
        }
        if keys.len() < PAGE as usize {
            return Ok(told);
        }
        after = keys.last().map(|used| used.key.clone());
    }
}

fn telling(used: &HourlyUse, hour: Timestamp, now: Timestamp) -> Option<Telling> {
    let mut history = by_the_hour(&used.hours, hour);
    let requests = history.pop()?;
    let Usual { most } = judge(&history, requests)?;
    let data = json!({
        "key_id": used.key,
        "owner": used.owner,
        "requests": requests,
        "usual": most,
        "hour": hour,
        "rule": RULE,
    });
    let day = hour.as_second().div_euclid(DAY_S) * DAY_S;
    Some(Telling {
        kind: "usage.unusual",
        about: Timestamp::from_second(day).ok()?,
        event: Event::new(EventKind::UsageUnusual, used.key.as_str(), data, now),
    })
}

/// Every hour from the first with requests up to and with `hour`.
fn by_the_hour(used: &[(Timestamp, u64)], hour: Timestamp) -> Vec<u64> {
    let Some((first, _)) = used.first() else { return Vec::new() };
    let place = |at: Timestamp| {
        usize::try_from((at.as_second() - first.as_second()) / HOUR_S).unwrap_or(usize::MAX)
    };
    let mut hours = vec![0; place(hour).saturating_add(1).min(30 * 24)];
    for (at, requests) in used {
        if let Some(hour) = hours.get_mut(place(*at)) {
            *hour += requests;
        }
    }
    hours
}

#[cfg(test)]
mod tests;
