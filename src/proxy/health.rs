//! How a target stands, as all workers and the health checks have found it.
//!
//! A target is left out after three failures in a row (no connection, broken off or timed out before
//! it answered), for five seconds first and up to a minute; then one request at a time tries it, and
//! its first success puts it back. Beside that, active checks (`health`, run by
//! [`super::probe`]) say up or down. What is left out is still asked where no other target is left,
//! so nothing is ever refused because of what is noted here.
//!
//! The request path reads two atomics; the lock is taken only where something is wrong.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::telemetry::metrics::TargetMetrics;

/// Failures in a row after which a target is left out.
const FAILURES: u32 = 3;
/// For how long at first; each trial that fails doubles it.
const FIRST_PAUSE_MS: u64 = 5_000;
const LONGEST_PAUSE_MS: u64 = 60_000;
/// A trial of which nothing was heard for so long makes room for another.
const TRIAL_MS: u64 = 5_000;
/// Active checks that must fail in a row for a target to be down.
const FAILED_CHECKS: u32 = 2;

/// One target's state, shared by all workers. Times are monotonic milliseconds.
#[derive(Debug)]
pub struct TargetState {
    upstream: String,
    target: String,
    metrics: Arc<TargetMetrics>,
    /// Whether a success has anything to mend.
    troubled: AtomicBool,
    /// From when a trial may be made; 0: not left out.
    resumes_ms: AtomicU64,
    checked_down: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Debug, Default)]
struct Record {
    ejection: Ejection,
    failed_checks: u32,
    /// What the last active check that failed has met.
    found: Option<String>,
}

impl TargetState {
    /// A target that stands. `upstream` and `target` are for the log.
    pub fn new(upstream: &str, target: &str, metrics: Arc<TargetMetrics>) -> Self {
        Self {
            upstream: upstream.to_owned(),
            target: target.to_owned(),
            metrics,
            troubled: AtomicBool::new(false),
            resumes_ms: AtomicU64::new(0),
            checked_down: AtomicBool::new(false),
            record: Mutex::default(),
        }
    }

    /// What is counted of it.
    pub fn metrics(&self) -> &Arc<TargetMetrics> {
        &self.metrics
    }

    /// Whether it is neither left out nor found down.
    pub fn stands(&self) -> bool {
        self.resumes_ms.load(Ordering::Relaxed) == 0 && !self.checked_down.load(Ordering::Relaxed)
    }

    /// Why it does not [stand](Self::stands), in words; `None`: it does.
    pub fn why_down(&self) -> Option<String> {
        if self.checked_down.load(Ordering::Relaxed) {
            let found = self.lock().found.clone().unwrap_or_default();
            return Some(format!("its health check fails: {found}"));
        }
        let left_out = self.resumes_ms.load(Ordering::Relaxed) != 0;
        left_out.then(|| {
            "requests failed on it again and again (no connection, broken off, or no answer in \
             time); it is tried again within a minute"
                .to_owned()
        })
    }

    /// Whether the caller's request is to try a target that is left out and has been for long enough.
    /// True for one caller only, until its request has succeeded or failed.
    pub fn try_again(&self, now_ms: u64) -> bool {
        let resumes_ms = self.resumes_ms.load(Ordering::Relaxed);
        resumes_ms != 0
            && resumes_ms <= now_ms
            && !self.checked_down.load(Ordering::Relaxed)
            && self.change(|record| record.ejection.begin_trial(now_ms))
    }

    /// It has answered.
    pub fn succeeded(&self) {
        if self.troubled.load(Ordering::Relaxed) && self.change(|record| record.ejection.mend()) {
            tracing::info!(upstream = self.upstream, target = self.target, "the target is back");
        }
    }

    /// It took no connection, or broke off or let its time pass before it answered.
    pub fn failed(&self, now_ms: u64) {
        let Some(pause_ms) = self.change(|record| record.ejection.fail(now_ms)) else { return };
        self.metrics.ejections.increment();
        tracing::warn!(
            upstream = self.upstream,
            target = self.target,
            pause_ms,
            "the target failed again and again, and is left out"
        );
    }

    /// What an active check has found.
    pub fn checked(&self, found: Result<(), String>) {
        let was_down = self.checked_down.load(Ordering::Relaxed);
        let is_down = self.change(|record| {
            record.failed_checks = if found.is_ok() { 0 } else { record.failed_checks + 1 };
            record.found = found.as_ref().err().cloned();
            let is_down = record.failed_checks >= if was_down { 1 } else { FAILED_CHECKS };
            if was_down && !is_down {
                // It is new: what was held against the old one is forgotten.
                record.ejection.mend();
            }
            self.checked_down.store(is_down, Ordering::Relaxed);
            is_down
        });
        let (upstream, target) = (self.upstream.as_str(), self.target.as_str());
        match found {
            Err(cause) if is_down && !was_down => {
                tracing::warn!(upstream, target, cause, "the health check finds the target down");
            }
            Ok(()) if was_down => {
                tracing::info!(upstream, target, "the health check finds the target up again");
            }
            _ => {}
        }
    }

    /// Nobody checks it any more: what checks have found is forgotten.
    pub fn unchecked(&self) {
        self.change(|record| {
            record.failed_checks = 0;
            self.checked_down.store(false, Ordering::Relaxed);
        });
    }

    /// Changes the record, and has the atomics and the metric follow it.
    fn change<T>(&self, change: impl FnOnce(&mut Record) -> T) -> T {
        let mut record = self.lock();
        let changed = change(&mut record);
        let Ejection { failures, resumes_ms, .. } = record.ejection;
        self.resumes_ms.store(resumes_ms.unwrap_or(0), Ordering::Relaxed);
        self.troubled.store(failures > 0 || resumes_ms.is_some(), Ordering::Relaxed);
        self.metrics.set_up(self.stands());
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Record> {
        // Nothing can be left half done under this lock.
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which failures lead to which pauses; knows nothing of clocks and locks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ejection {
    failures: u32,
    pauses: u32,
    /// While it is left out: from when a trial may be made. Never `Some(0)`.
    resumes_ms: Option<u64>,
    trial: bool,
}

impl Ejection {
    /// One more failure; how long the target is left out, where it is because of it.
    fn fail(&mut self, now_ms: u64) -> Option<u64> {
        match self.resumes_ms {
            None => {
                self.failures += 1;
                (self.failures >= FAILURES).then(|| self.pause(now_ms))
            }
            Some(_) if self.trial => Some(self.pause(now_ms)),
            // Begun before, or sent for want of another target: known already.
            Some(_) => None,
        }
    }

    fn pause(&mut self, now_ms: u64) -> u64 {
        let pause_ms = (FIRST_PAUSE_MS << self.pauses.min(10)).min(LONGEST_PAUSE_MS);
        self.pauses += 1;
        self.trial = false;
        self.resumes_ms = Some((now_ms + pause_ms).max(1));
        pause_ms
    }

    /// Whether a trial may be made now, by whoever asks first.
    fn begin_trial(&mut self, now_ms: u64) -> bool {
        match self.resumes_ms {
            Some(resumes_ms) if resumes_ms <= now_ms => {
                self.trial = true;
                self.resumes_ms = Some((now_ms + TRIAL_MS).max(1));
                true
            }
            _ => false,
        }
    }

    /// Puts it back; whether it was left out.
    fn mend(&mut self) -> bool {
        std::mem::take(self).resumes_ms.is_some()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> TargetState {
        TargetState::new("api", "a:80", Arc::default())
    }

    #[test]
    fn three_failures_in_a_row_leave_a_target_out_and_fewer_do_not() {
        let state = state();
        for _ in 0..10 {
            state.failed(7);
            state.failed(7);
            state.succeeded();
        }
        assert!(state.stands());
        (0..3).for_each(|_| state.failed(7));
        assert!(!state.stands() && !state.metrics().is_up());
        assert_eq!(state.metrics().ejections.read(), 1);
    }

    #[test]
    fn a_target_that_is_down_says_why_until_it_is_back() {
        let state = state();
        assert_eq!(state.why_down(), None);
        (0..3).for_each(|_| state.failed(7));
        assert!(state.why_down().is_some_and(|why| why.starts_with("requests failed on it")));
        (0..2).for_each(|_| state.checked(Err("it answers 500".to_owned())));
        assert_eq!(state.why_down().as_deref(), Some("its health check fails: it answers 500"));
        state.checked(Ok(()));
        assert_eq!(state.why_down(), None);
    }

    #[test]
    fn pauses_double_up_to_a_minute_and_one_success_forgets_them() {
        let mut ejection = Ejection::default();
        let mut now_ms = 0;
        assert_eq!([ejection.fail(now_ms), ejection.fail(now_ms)], [None, None]);
        let mut pauses = vec![ejection.fail(now_ms).unwrap()];
        for _ in 0..5 {
            now_ms = ejection.resumes_ms.unwrap();
            assert!(!ejection.begin_trial(now_ms - 1) && ejection.begin_trial(now_ms));
            pauses.push(ejection.fail(now_ms).unwrap());
        }
        assert_eq!(pauses, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
        assert!(ejection.mend());
        assert_eq!(ejection, Ejection::default());
    }

    #[test]
    fn one_request_at_a_time_tries_a_target_that_is_left_out() {
        let state = state();
        assert!(!state.try_again(0), "it is not left out");
        (0..3).for_each(|_| state.failed(0));
        assert!(!state.try_again(4_999));
        assert!(state.try_again(5_000) && !state.try_again(5_000) && !state.try_again(9_999));
        assert!(!state.stands(), "until the trial succeeds");
        assert!(state.try_again(10_000), "a trial that was heard of no more makes room");
        state.succeeded();
        assert!(state.stands() && state.metrics().is_up());
    }

    #[test]
    fn two_failed_checks_are_down_and_one_that_succeeds_is_up() {
        let state = state();
        let failed = || Err("refused".to_owned());
        state.checked(failed());
        state.checked(Ok(()));
        state.checked(failed());
        assert!(state.stands());
        state.checked(failed());
        assert!(!state.stands() && !state.metrics().is_up());
        (0..3).for_each(|_| state.failed(0));
        assert!(!state.try_again(u64::MAX), "no request tries what checks find down");
        state.checked(Ok(()));
        assert!(state.stands(), "a target that has come back begins anew");
        state.checked(failed());
        state.checked(failed());
        state.unchecked();
        assert!(state.stands());
    }

    proptest! {
        #[test]
        fn a_target_is_out_for_a_minute_at_most_and_always_comes_back(
            steps in prop::collection::vec((0_u8..3, 0_u64..30_000), 0..60)
        ) {
            let mut ejection = Ejection::default();
            let mut now_ms = 0;
            for (step, passed) in steps {
                now_ms += passed;
                match step {
                    0 => drop(ejection.fail(now_ms)),
                    1 => drop(ejection.begin_trial(now_ms)),
                    _ => {
                        ejection.mend();
                        prop_assert_eq!(&ejection, &Ejection::default());
                    }
                }
                if let Some(resumes_ms) = ejection.resumes_ms {
                    prop_assert!(resumes_ms <= now_ms + LONGEST_PAUSE_MS);
                    let mut later = ejection.clone();
                    prop_assert!(later.begin_trial(resumes_ms) && later.mend());
                }
            }
        }
    }
}
