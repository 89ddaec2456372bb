//! What `draw.lua` does, once more in Rust: for rules over random input without Redis, and to be
//! compared with the script itself.

use std::collections::{BTreeMap, HashMap};

use super::draw::{Answer, Draw, Drawn, Outcome, Wanted, length_ms, part_ms};

/// The data.
#[derive(Default)]
pub(super) struct Model {
    hashes: HashMap<(String, u32), Hash>,
}

#[derive(Clone, Default)]
struct Hash {
    /// How many, and when the last of them passes.
    parts: BTreeMap<u64, (u64, u64)>,
    instances: BTreeMap<String, u64>,
}

impl Model {
    /// Answers a draw of an instance.
    pub(super) fn answer(&mut self, me: &str, draw: &Draw, live: u32, now_ms: u64) -> Answer {
        Answer { now_ms, outcome: self.outcome(me, draw, live, now_ms) }
    }

    /// Loses everything.
    pub(super) fn lose(&mut self) {
        self.hashes.clear();
    }

    fn outcome(&mut self, me: &str, draw: &Draw, live: u32, now_ms: u64) -> Outcome {
        if draw.not_after_ms.is_some_and(|not_after_ms| not_after_ms < now_ms) {
            return Outcome::Stale;
        }
        let name = |drawn: &Drawn| (format!("{:?}", draw.subject), drawn.limit.window.seconds());
        let mut hashes: Vec<Hash> = Vec::new();
        for drawn in &draw.windows {
            let mut hash = self.hashes.get(&name(drawn)).cloned().unwrap_or_default();
            hash.forget(drawn, now_ms);
            hashes.push(hash);
        }
        let known = |hash: &Hash| hash.instances.contains_key(me);
        let unknown: Vec<bool> = std::iter::zip(&hashes, &draw.windows)
            .map(|(hash, drawn)| !known(hash) && !drawn.fresh)
            .collect();
        if unknown.contains(&true) {
            return Outcome::Unknown(unknown);
        }
        for (hash, drawn) in hashes.iter_mut().zip(&draw.windows) {
            for (age_ms, count) in &drawn.books {
                if *age_ms < length_ms(drawn.limit.window) {
                    hash.add(drawn, now_ms - age_ms, now_ms - age_ms, (*count).into());
                }
            }
            if known(hash) {
                draw.returns.iter().for_each(|(at_ms, count)| hash.take(drawn, *at_ms, *count));
            }
            hash.instances.insert(me.to_owned(), now_ms);
        }
        let (granted, valid_ms) = granted(draw, &hashes, live);
        let mut reached = None;
        let mut windows = Vec::new();
        for (place, (hash, drawn)) in hashes.iter_mut().zip(&draw.windows).enumerate() {
            if granted > 0 {
                hash.add(drawn, now_ms, now_ms + valid_ms, granted);
            }
            let left = hash.left(drawn);
            if left == 0 {
                let wait_ms = hash.frees_in(drawn, now_ms);
                if reached.is_none_or(|(_, longest)| wait_ms > longest) {
                    reached = Some((place, wait_ms));
                }
            }
            windows.push((left as u32, hash.whole_in(drawn, now_ms)));
        }
        for (hash, drawn) in hashes.into_iter().zip(&draw.windows) {
            self.hashes.insert(name(drawn), hash);
        }
        Outcome::Done { granted: granted as u32, valid_ms, reached, windows }
    }
}

fn granted(draw: &Draw, hashes: &[Hash], live: u32) -> (u64, u64) {
    let left = hashes.iter().zip(&draw.windows).map(|(hash, drawn)| hash.left(drawn)).min();
    let left = left.unwrap_or(0);
    let waiting = match draw.wanted {
        Wanted::Nothing => return (0, 0),
        Wanted::Ahead => 0,
        Wanted::For(waiting) => u64::from(waiting),
    };
    let batch = (left / (100 * u64::from(live))).min(draw.most.into());
    let granted = waiting.max(batch).min(left);
    let valid_ms = match granted {
        0 => 0,
        some if some > waiting => draw.parts_ms().min().unwrap_or(0),
        _ => draw.slack_ms(),
    };
    (granted, valid_ms)
}

impl Hash {
    fn forget(&mut self, drawn: &Drawn, now_ms: u64) {
        let (length, part) = (length_ms(drawn.limit.window), part_ms(drawn.limit.window));
        self.parts.retain(|_, (count, last_ms)| *count > 0 && *last_ms + length > now_ms);
        self.instances.retain(|_, at_ms| *at_ms + 2 * part + length > now_ms);
    }

    fn add(&mut self, drawn: &Drawn, at_ms: u64, last_ms: u64, count: u64) {
        let part = self.parts.entry(at_ms / part_ms(drawn.limit.window)).or_default();
        *part = (part.0 + count, part.1.max(last_ms));
    }

    fn take(&mut self, drawn: &Drawn, at_ms: u64, count: u32) {
        if let Some((known, _)) = self.parts.get_mut(&(at_ms / part_ms(drawn.limit.window))) {
            *known = known.saturating_sub(count.into());
        }
    }

    fn passed(&self) -> u64 {
        self.parts.values().map(|(count, _)| count).sum()
    }

    fn left(&self, drawn: &Drawn) -> u64 {
        u64::from(drawn.limit.max.get()).saturating_sub(self.passed())
    }

    fn frees_in(&self, drawn: &Drawn, now_ms: u64) -> u64 {
        let mut parts: Vec<_> = self.parts.values().filter(|(count, _)| *count > 0).collect();
        parts.sort_by_key(|(_, last_ms)| *last_ms);
        let mut over = self.passed() + 1 - u64::from(drawn.limit.max.get());
        for (count, last_ms) in parts {
            over = over.saturating_sub(*count);
            if over == 0 {
                return last_ms + length_ms(drawn.limit.window) - now_ms;
            }
        }
        0
    }

    /// What was given back counts here too, as it does in the script until the next draw.
    fn whole_in(&self, drawn: &Drawn, now_ms: u64) -> u64 {
        let newest = self.parts.values().map(|(_, last_ms)| last_ms).max();
        newest.map_or(0, |last_ms| last_ms + length_ms(drawn.limit.window) - now_ms)
    }
}
