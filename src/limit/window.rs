//! Counting over sliding windows in one cache line each.
//!
//! The one rule: in any window of a limit's length, wherever it begins, no more than the limit
//! pass. A counter keeps [`PARTS`] + 1 sub-buckets, each a [`PARTS`]th of the window long; a window
//! that ends in bucket `k` begins in bucket `k - PARTS` at the earliest, so what passed in it is at
//! most the sum of all buckets kept. The price is lateness, never excess: a slot is free again
//! after the window and at most a [`PARTS`]th more.
//!
//! Time is an argument: milliseconds of a monotonic clock, from any origin.

use crate::domain::{Limit, Window};

/// Sub-buckets a window is cut into; with the one that is being filled they take 64 bytes.
const PARTS: u64 = 15;
const KEPT: usize = PARTS as usize + 1;

/// One limit to be counted, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// 0 for the key as a whole, else a number that stands for a route.
    pub subject: u64,
    /// How many pass in which window.
    pub limit: Limit,
}

/// How a counter stood after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Which limit.
    pub rule: Rule,
    /// Requests that would still pass now.
    pub remaining: u32,
    /// Milliseconds until the window is whole again.
    pub reset_in_ms: u64,
}

/// A limit that is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// How it stands.
    pub standing: Standing,
    /// Milliseconds until the next request would pass every limit; at least 1.
    pub retry_in_ms: u64,
}

/// The counters of one key, or of one address.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    counters: Vec<Counter>,
}

#[derive(Clone, Debug)]
struct Counter {
    subject: u64,
    window: Window,
    /// The number of the bucket being filled, counted from the clock's origin.
    newest: u64,
    passed: [u32; KEPT],
}

impl Counters {
    /// Lets a request through all the rules or none: where one is reached, nothing is counted.
    ///
    /// Gives the standing of the rule nearest to its end, or `None` where there is no rule.
    pub fn admit(
        &mut self,
        rules: impl Iterator<Item = Rule> + Clone,
        now_ms: u64,
    ) -> Result<Option<Standing>, Exceeded> {
        self.check(rules.clone(), now_ms)?;
        let mut nearest: Option<Standing> = None;
        for rule in rules {
            let counter = self.counter(rule, now_ms);
            counter.add();
            let standing = counter.standing(rule, now_ms);
            if nearest.is_none_or(|nearest| standing.remaining < nearest.remaining) {
                nearest = Some(standing);
            }
        }
        Ok(nearest)
    }

    /// Whether a request would pass, without counting it.
    pub fn check(
        &mut self,
        rules: impl Iterator<Item = Rule>,
        now_ms: u64,
    ) -> Result<(), Exceeded> {
        let mut reached: Option<Exceeded> = None;
        for rule in rules {
            let counter = self.counter(rule, now_ms);
            let standing = counter.standing(rule, now_ms);
            if standing.remaining == 0 {
                let retry_in_ms = counter.retry_in_ms(rule.limit, now_ms);
                if reached.is_none_or(|worst| retry_in_ms > worst.retry_in_ms) {
                    reached = Some(Exceeded { standing, retry_in_ms });
                }
            }
        }
        reached.map_or(Ok(()), Err)
    }

    /// Whether nothing is counted any more: every counter is empty at `now_ms`.
    pub fn is_idle(&mut self, now_ms: u64) -> bool {
        self.counters.iter_mut().all(|counter| {
            counter.advance(now_ms);
            counter.total() == 0
        })
    }

    /// The rule's counter, moved on to `now_ms`. A changed limit over the same window goes on with
    /// what was counted.
    fn counter(&mut self, rule: Rule, now_ms: u64) -> &mut Counter {
        let window = rule.limit.window;
        let found =
            self.counters.iter().position(|c| c.subject == rule.subject && c.window == window);
        let place = found.unwrap_or_else(|| {
            self.counters.push(Counter {
                subject: rule.subject,
                window,
                newest: bucket(window, now_ms),
                passed: [0; KEPT],
            });
            self.counters.len() - 1
        });
        let counter = &mut self.counters[place];
        counter.advance(now_ms);
        counter
    }
}

impl Counter {
    /// Empties the buckets that the window has left behind. Time that stands still or goes back
    /// leaves everything as it is.
    fn advance(&mut self, now_ms: u64) {
        let now = bucket(self.window, now_ms);
        let passed = now.saturating_sub(self.newest).min(KEPT as u64);
        for step in 1..=passed {
            self.passed[slot(self.newest + step)] = 0;
        }
        self.newest = self.newest.max(now);
    }

    fn add(&mut self) {
        self.passed[slot(self.newest)] += 1;
    }

    fn total(&self) -> u32 {
        self.passed.iter().fold(0, |sum, passed| sum.saturating_add(*passed))
    }

    fn standing(&self, rule: Rule, now_ms: u64) -> Standing {
        Standing {
            rule,
            remaining: rule.limit.max.get().saturating_sub(self.total()),
            reset_in_ms: self.newest_used().map_or(0, |used| self.leaves_in_ms(used, now_ms)),
        }
    }

    /// How long until so many buckets have left the window that one more request fits.
    fn retry_in_ms(&self, limit: Limit, now_ms: u64) -> u64 {
        let mut total = self.total();
        for number in self.oldest()..=self.newest {
            total -= self.passed[slot(number)];
            if total < limit.max.get() {
                return self.leaves_in_ms(number, now_ms).max(1);
            }
        }
        1
    }

    fn oldest(&self) -> u64 {
        self.newest.saturating_sub(PARTS)
    }

    fn newest_used(&self) -> Option<u64> {
        (self.oldest()..=self.newest).rev().find(|number| self.passed[slot(*number)] > 0)
    }

    /// Milliseconds until a bucket is in no window any more.
    fn leaves_in_ms(&self, number: u64, now_ms: u64) -> u64 {
        let left_at = ((number + PARTS + 1) * length_ms(self.window)).div_ceil(PARTS);
        left_at.saturating_sub(now_ms)
    }
}

fn length_ms(window: Window) -> u64 {
    u64::from(window.seconds()) * 1_000
}

fn bucket(window: Window, now_ms: u64) -> u64 {
    now_ms * PARTS / length_ms(window)
}

fn slot(number: u64) -> usize {
    (number % KEPT as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rule(text: &str) -> Rule {
        Rule { subject: 0, limit: text.parse().unwrap() }
    }

    fn admit(
        counters: &mut Counters,
        rules: &[Rule],
        now_ms: u64,
    ) -> Result<Option<Standing>, Exceeded> {
        counters.admit(rules.iter().copied(), now_ms)
    }

    #[test]
    fn the_limit_passes_at_once_and_no_more() {
        let mut counters = Counters::default();
        let rules = [rule("60/min")];
        let passed = (0..100).filter(|_| admit(&mut counters, &rules, 5_000).is_ok()).count();
        assert_eq!(passed, 60);
    }

    #[test]
    fn remaining_counts_down_and_the_nearest_window_speaks() {
        let mut counters = Counters::default();
        let rules = [rule("3/min"), rule("1000/hour")];
        for remaining in [2, 1, 0] {
            let standing = admit(&mut counters, &rules, 0).unwrap().unwrap();
            assert_eq!((standing.rule, standing.remaining), (rules[0], remaining));
        }
        assert_eq!(admit(&mut counters, &rules, 0).unwrap_err().standing.rule, rules[0]);
    }

    #[test]
    fn a_refused_request_counts_in_no_window() {
        let mut counters = Counters::default();
        let rules = [rule("1/s"), rule("10/min")];
        for _ in 0..50 {
            let _ = admit(&mut counters, &rules, 0);
        }
        let standing = counters.admit([rules[1]].into_iter(), 0).unwrap().unwrap();
        assert_eq!(standing.remaining, 8);
    }

    #[test]
    fn the_next_request_passes_when_retry_says_so_and_not_before() {
        for text in ["1/s", "60/min", "7/hour", "1000/day"] {
            let mut counters = Counters::default();
            let rules = [rule(text)];
            let mut now = 123_456;
            while admit(&mut counters, &rules, now).is_ok() {
                now += 1;
            }
            let retry = admit(&mut counters, &rules, now).unwrap_err().retry_in_ms;
            assert!(admit(&mut counters.clone(), &rules, now + retry - 1).is_err(), "{text}");
            assert!(admit(&mut counters, &rules, now + retry).is_ok(), "{text}");
        }
    }

    #[test]
    fn at_reset_the_window_is_whole_again() {
        let mut counters = Counters::default();
        let rules = [rule("60/min")];
        for _ in 0..30 {
            admit(&mut counters, &rules, 1_000).unwrap();
        }
        let reset = admit(&mut counters, &rules, 1_000).unwrap().unwrap().reset_in_ms;
        assert!((60_000..=64_000).contains(&reset), "{reset}");
        assert!(!counters.clone().is_idle(1_000 + reset - 1));
        assert!(counters.is_idle(1_000 + reset));
    }

    #[test]
    fn raising_a_limit_keeps_what_was_counted() {
        let mut counters = Counters::default();
        for _ in 0..5 {
            admit(&mut counters, &[rule("5/min")], 0).unwrap();
        }
        assert!(admit(&mut counters, &[rule("5/min")], 0).is_err());
        assert_eq!(admit(&mut counters, &[rule("8/min")], 0).unwrap().unwrap().remaining, 2);
    }

    proptest! {
        /// Random arrivals, also in bursts and on the borders of buckets.
        #[test]
        fn no_window_wherever_it_begins_has_more_than_the_limit(
            max in 1u32..20,
            start in 0u64..200_000,
            gaps in proptest::collection::vec(prop_oneof![Just(0), 0u64..100, 0u64..5_000], 1..400),
        ) {
            let mut counters = Counters::default();
            let rules = [Rule { subject: 0, limit: format!("{max}/min").parse().unwrap() }];
            let mut now = start;
            let mut passed = Vec::new();
            for gap in gaps {
                now += gap;
                if admit(&mut counters, &rules, now).is_ok() {
                    passed.push(now);
                }
            }
            for (index, first) in passed.iter().enumerate() {
                let in_window = passed[index..].iter().take_while(|at| **at < first + 60_000).count();
                prop_assert!(in_window <= max as usize, "{in_window} from {first}");
            }
        }

        /// What is kept back is bounded: after a window and a fifteenth, a slot is free again.
        #[test]
        fn a_slot_is_free_again_after_a_window_and_a_fifteenth(at in 0u64..10_000_000) {
            let mut counters = Counters::default();
            let rules = [rule("1/min")];
            admit(&mut counters, &rules, at).unwrap();
            prop_assert!(admit(&mut counters, &rules, at + 59_999).is_err());
            prop_assert!(admit(&mut counters, &rules, at + 64_000).is_ok());
        }
    }
}
