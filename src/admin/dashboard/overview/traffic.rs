//! What passed through this instance in the last hour.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::admin::dashboard::chart::{Chart, Kind, Series};
use crate::admin::dashboard::words::{Moment, count, micros, percent};
use crate::domain::{Reason, TrafficSample};

/// What "now" is in the figures.
const RECENT: SignedDuration = SignedDuration::from_secs(60);
/// The length of a row of the table beside the charts, in seconds.
const ROW_SECONDS: i64 = 300;

/// The last hour, by the samples there are of it.
pub(super) struct Traffic {
    /// Whether there was any request at all.
    pub(super) is_quiet: bool,
    /// Requests a second in the last minute.
    pub(super) rate: String,
    /// Of the hour's requests, in per cent.
    pub(super) refused_percent: u64,
    /// What the gateway added lately: the median and the 99th percentile.
    pub(super) added: Option<(String, String)>,
    pub(super) requests: Chart,
    pub(super) overhead: Chart,
    /// The same as the charts, newest first.
    pub(super) rows: Vec<Row>,
    /// Why requests were refused, the most frequent first.
    pub(super) reasons: Vec<Refused>,
}

/// Five minutes.
pub(super) struct Row {
    pub(super) at: Moment,
    pub(super) passed: String,
    pub(super) client_errors: String,
    pub(super) upstream_errors: String,
    pub(super) refused: String,
    /// The slowest sample's.
    pub(super) p50: Option<String>,
    pub(super) p99: Option<String>,
}

/// A reason with how many requests were refused for it.
pub(super) struct Refused {
    pub(super) reason: &'static str,
    pub(super) requests: String,
    pub(super) percent: u64,
}

impl Traffic {
    pub(super) fn of(samples: &[TrafficSample], now: Timestamp) -> Self {
        let all: u64 = samples.iter().map(all).sum();
        let refused: u64 = samples.iter().map(|sample| sample.refused).sum();
        let newest = samples.iter().rev().find(|sample| sample.overhead_p50_us.is_some());
        let added = newest.and_then(|it| Some((it.overhead_p50_us?, it.overhead_p99_us?)));
        Self {
            is_quiet: all == 0,
            rate: rate(samples, now),
            refused_percent: percent(refused.cast_signed(), all.cast_signed()),
            added: added.map(|(p50, p99)| (micros(p50), micros(p99))),
            requests: requests(samples),
            overhead: overhead(samples),
            rows: rows(samples, now),
            reasons: reasons(samples, refused),
        }
    }
}

fn all(sample: &TrafficSample) -> u64 {
    sample.passed + sample.client_errors + sample.upstream_errors + sample.refused
}

fn rate(samples: &[TrafficSample], now: Timestamp) -> String {
    let recent = samples.iter().filter(|sample| now.duration_since(sample.at) < RECENT);
    let (requests, seconds) =
        recent.fold((0, 0.), |(requests, seconds), it| (requests + all(it), seconds + it.seconds));
    if seconds > 0. { format!("{:.1}", requests as f64 / seconds) } else { "0.0".to_owned() }
}

fn requests(samples: &[TrafficSample]) -> Chart {
    let series = |name, tone, of: fn(&TrafficSample) -> u64| Series {
        name,
        tone,
        values: samples.iter().map(|sample| Some(a_second(of(sample), sample.seconds))).collect(),
    };
    let series = vec![
        series("passed", "good", |sample| sample.passed),
        series("refused", "warn-bar", |sample| sample.refused),
        series("client errors", "accent", |sample| sample.client_errors),
        series("upstream errors", "bad", |sample| sample.upstream_errors),
    ];
    Chart::new(Kind::Lines, "requests/s", times(samples), series)
}

fn overhead(samples: &[TrafficSample]) -> Chart {
    let series = |name, tone, of: fn(&TrafficSample) -> Option<u64>| Series {
        name,
        tone,
        values: samples.iter().map(|sample| of(sample).map(|us| us as f64)).collect(),
    };
    let series = vec![
        series("median", "accent", |sample| sample.overhead_p50_us),
        series("99th percentile", "warn-bar", |sample| sample.overhead_p99_us),
    ];
    Chart::new(Kind::Lines, "µs", times(samples), series)
}

fn times(samples: &[TrafficSample]) -> Vec<i64> {
    samples.iter().map(|sample| sample.at.as_second()).collect()
}

/// To the hundredth: more digits than that say nothing and are sent every few seconds.
fn a_second(requests: u64, seconds: f64) -> f64 {
    if seconds > 0. { (requests as f64 / seconds * 100.).round() / 100. } else { 0. }
}

fn rows(samples: &[TrafficSample], now: Timestamp) -> Vec<Row> {
    let mut parts: BTreeMap<i64, Vec<&TrafficSample>> = BTreeMap::new();
    for sample in samples {
        let second = sample.at.as_second();
        parts.entry(second - second.rem_euclid(ROW_SECONDS)).or_default().push(sample);
    }
    let row = |(begin, samples): (i64, Vec<&TrafficSample>)| {
        let sum = |of: fn(&TrafficSample) -> u64| count(samples.iter().map(|it| of(it)).sum());
        let most = |of: fn(&TrafficSample) -> Option<u64>| {
            samples.iter().filter_map(|sample| of(sample)).max().map(micros)
        };
        Row {
            at: Moment::new(Timestamp::from_second(begin).unwrap_or(now), now),
            passed: sum(|sample| sample.passed),
            client_errors: sum(|sample| sample.client_errors),
            upstream_errors: sum(|sample| sample.upstream_errors),
            refused: sum(|sample| sample.refused),
            p50: most(|sample| sample.overhead_p50_us),
            p99: most(|sample| sample.overhead_p99_us),
        }
    };
    parts.into_iter().rev().map(row).collect()
}

fn reasons(samples: &[TrafficSample], all: u64) -> Vec<Refused> {
    let mut reasons: BTreeMap<Reason, u64> = BTreeMap::new();
    for (reason, requests) in samples.iter().flat_map(|sample| &sample.refusals) {
        *reasons.entry(*reason).or_default() += requests;
    }
    let mut reasons: Vec<(Reason, u64)> = reasons.into_iter().collect();
    reasons.sort_by_key(|(_, requests)| std::cmp::Reverse(*requests));
    let refused = |(reason, requests): (Reason, u64)| Refused {
        reason: reason.name(),
        requests: count(requests),
        percent: percent(requests.cast_signed(), all.cast_signed()),
    };
    reasons.into_iter().map(refused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(second: i64, passed: u64, refused: u64) -> TrafficSample {
        TrafficSample {
            at: Timestamp::from_second(second).unwrap(),
            seconds: 5.,
            passed,
            client_errors: 0,
            upstream_errors: 0,
            refused,
            refusals: if refused > 0 { vec![(Reason::MissingScope, refused)] } else { vec![] },
            overhead_p50_us: (passed > 0).then_some(80),
            overhead_p99_us: (passed > 0).then_some(1_200),
        }
    }

    #[test]
    fn the_last_minute_is_now_and_the_hour_is_in_the_table() {
        let samples =
            [sample(0, 100, 20), sample(295, 10, 0), sample(300, 20, 0), sample(330, 0, 0)];
        let told = Traffic::of(&samples, Timestamp::from_second(330).unwrap());
        assert_eq!(told.rate, "2.0");
        assert_eq!(told.refused_percent, 13);
        assert_eq!(told.added, Some(("80 µs".to_owned(), "1.20 ms".to_owned())));
        let rows: Vec<_> =
            told.rows.iter().map(|row| (row.passed.as_str(), row.refused.as_str())).collect();
        assert_eq!(rows, [("20", "0"), ("110", "20")]);
        assert_eq!(told.reasons[0].reason, "missing_scope");
        assert_eq!(told.reasons[0].percent, 100);
    }

    #[test]
    fn an_hour_without_a_request_is_quiet() {
        let told = Traffic::of(&[sample(0, 0, 0)], Timestamp::from_second(1).unwrap());
        assert!(told.is_quiet && told.added.is_none() && told.reasons.is_empty());
        assert_eq!(told.rate, "0.0");
        assert!(Traffic::of(&[], Timestamp::UNIX_EPOCH).is_quiet);
    }
}
