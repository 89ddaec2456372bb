//! What this instance did of late: the metrics, looked at every few seconds.
//!
//! It costs requests nothing: their counters are read, and nothing else is written for it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::metrics::{Metrics, Totals};
use crate::domain::{Clock, Reason, TrafficSample};

/// The length of a sample.
const STEP: Duration = Duration::from_secs(5);
/// How many are kept: an hour of them.
const KEPT: usize = 720;

/// The samples of the last hour.
#[derive(Debug, Default)]
pub struct History {
    samples: Mutex<VecDeque<TrafficSample>>,
}

impl History {
    /// The samples, oldest first.
    pub fn samples(&self) -> Vec<TrafficSample> {
        self.lock().iter().cloned().collect()
    }

    /// Takes a sample every five seconds, for ever. Times are by `clock`, lengths are measured.
    pub async fn keep(&self, metrics: &Metrics, clock: &Clock) {
        let (mut before, mut since) = (metrics.totals(), Instant::now());
        let mut tick = interval(STEP);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first one is at once.
        tick.tick().await;
        loop {
            tick.tick().await;
            let (totals, now) = (metrics.totals(), Instant::now());
            self.add(sample(&before, &totals, clock.now(), now - since));
            (before, since) = (totals, now);
        }
    }

    fn add(&self, sample: TrafficSample) {
        let mut samples = self.lock();
        if samples.len() >= KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<TrafficSample>> {
        // Nothing under this lock can be left half done.
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What came between two looks, the later one at that time.
fn sample(before: &Totals, after: &Totals, at: Timestamp, span: Duration) -> TrafficSample {
    let answered = |class: usize| after.answered[class].saturating_sub(before.answered[class]);
    let refusals = Reason::ALL.iter().zip(after.refused.iter().zip(&before.refused));
    let refusals: Vec<(Reason, u64)> = refusals
        .map(|(reason, (after, before))| (*reason, after.saturating_sub(*before)))
        .filter(|(_, count)| *count > 0)
        .collect();
    let overhead = after.overhead.since(&before.overhead);
    let microseconds = |hundredths| overhead.percentile(hundredths).map(|ns| ns.div_ceil(1_000));
    TrafficSample {
        at,
        seconds: span.as_secs_f64(),
        passed: (1..=3).map(answered).sum(),
        client_errors: answered(4),
        upstream_errors: answered(5),
        refused: refusals.iter().map(|(_, count)| count).sum(),
        refusals,
        overhead_p50_us: microseconds(50),
        overhead_p99_us: microseconds(99),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MICROSECOND: Duration = Duration::from_micros(1);

    #[test]
    fn a_sample_says_what_came_between_two_looks() {
        let metrics = Metrics::new(2, "test");
        let (worker, route) = (metrics.worker(1), metrics.route("/a"));
        let answer = |status, refused: Option<Reason>| {
            route.answered(1, status);
            worker.answered(9 * MICROSECOND, 9 * MICROSECOND);
            if let Some(reason) = refused {
                worker.refused(reason, status);
            }
        };
        answer(200, None);
        answer(429, Some(Reason::RateLimited));
        let before = metrics.totals();
        for (status, refused) in [
            (200, None),
            (301, None),
            (404, None),
            (404, Some(Reason::RouteNotFound)),
            // As `[errors]` may have it.
            (200, Some(Reason::BudgetExceeded)),
            (503, None),
            (502, Some(Reason::UpstreamUnavailable)),
            (499, None),
        ] {
            answer(status, refused);
        }
        let at = Timestamp::UNIX_EPOCH;
        let told = sample(&before, &metrics.totals(), at, Duration::from_millis(5_500));
        let reasons = [Reason::BudgetExceeded, Reason::RouteNotFound, Reason::UpstreamUnavailable];
        let expected = TrafficSample {
            at,
            seconds: 5.5,
            passed: 2,
            client_errors: 1,
            upstream_errors: 1,
            refused: 3,
            refusals: reasons.map(|reason| (reason, 1)).to_vec(),
            overhead_p50_us: Some(8),
            overhead_p99_us: Some(10),
        };
        assert_eq!(told, expected);
        let nothing = sample(&metrics.totals(), &metrics.totals(), at, STEP);
        assert_eq!((nothing.refused, nothing.overhead_p99_us), (0, None));
    }

    #[tokio::test(start_paused = true)]
    async fn an_hour_of_samples_is_kept_and_no_more() {
        let (history, metrics, clock) =
            (History::default(), Metrics::new(1, "test"), Clock::system());
        let keep = tokio::time::timeout(Duration::from_secs(3_700), history.keep(&metrics, &clock));
        assert!(keep.await.is_err());
        let samples = history.samples();
        assert_eq!(samples.len(), KEPT);
        assert!(samples.iter().all(|sample| (sample.seconds - 5.0).abs() < 0.01));
    }
}
