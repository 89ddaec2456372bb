//! What became of requests, one by one and second by second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::report::{Times, median};

/// What became of a request.
pub struct Outcome {
    /// As the plan gave it.
    pub target: usize,
    /// As the plan gave it.
    pub tag: usize,
    /// When it was due.
    pub due: Instant,
    /// When its bytes were written.
    pub sent: Instant,
    /// When its answer had come.
    pub done: Instant,
    /// Of the answer; 0: the connection broke instead.
    pub status: u16,
    /// Seconds, where the answer says so.
    pub retry_after: Option<u64>,
}

impl Outcome {
    /// From when it was due to its answer.
    pub fn took(&self) -> Duration {
        self.done - self.due
    }
}

/// How a steady load fared, as a whole and second by second.
pub struct Fared {
    /// Of all requests.
    pub all: Times,
    /// By the second in which they were due.
    pub seconds: Vec<Times>,
}

impl Fared {
    /// Sorts outcomes into their seconds.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let all = outcomes.iter().map(Outcome::took).collect();
        let seconds = by_second(outcomes).into_iter();
        let seconds = seconds.map(|second| second.into_iter().map(Outcome::took).collect());
        Self { all, seconds: seconds.collect() }
    }

    /// The median of the seconds' p99: what another process of the machine does to one second
    /// changes nothing of it.
    pub fn typical_p99(&self) -> Duration {
        let each = self.seconds.iter().map(|second| second.percentile(99).as_secs_f64());
        Duration::from_secs_f64(median(each))
    }
}

/// Outcomes by the second, from the first one's, in which they were due.
pub fn by_second(outcomes: &[Outcome]) -> Vec<Vec<&Outcome>> {
    let begun = outcomes.iter().map(|outcome| outcome.due).min();
    let mut seconds = BTreeMap::<u64, Vec<&Outcome>>::new();
    for outcome in outcomes {
        let since = begun.map_or(Duration::ZERO, |begun| outcome.due - begun);
        seconds.entry(since.as_secs()).or_default().push(outcome);
    }
    seconds.into_values().collect()
}
