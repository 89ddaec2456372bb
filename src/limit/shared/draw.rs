//! What Redis is asked for one subject of one key, and what it answers: data, and its form as
//! numbers. What it does with them stands in `draw.lua`, and once more, for tests, in [`super::model`].

use crate::domain::{Limit, Window};
use crate::limit::RouteId;
use crate::limit::window::SlidingWindow;

/// Of the least limit's room, what all instances together may hold unused: a hundredth.
const SPREAD: u64 = 100;
/// How long a grant that somebody waits for is good, in milliseconds; in the shortest windows for one
/// of their parts. Longer than they wait, because on a busy machine the answer is late too. For so
/// long its pass is counted as not yet made, which a client that keeps an even pace at its limit
/// loses.
const SLACK_MS: u64 = 20;
/// After how long without an answer Redis is taken to be away, in milliseconds. Nobody waits so long;
/// a machine that is busy makes Redis silent for longer than one would think.
pub(super) const PATIENCE_MS: u64 = 200;
/// Parts of a window that Redis tells apart: as fine as [`SlidingWindow`].
const PARTS: u64 = 63;

/// What limits are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// The key as a whole.
    Own,
    /// The key on one route.
    Route(RouteId),
}

impl Subject {
    /// The route that it is of.
    pub(super) fn route(self) -> Option<RouteId> {
        match self {
            Self::Own => None,
            Self::Route(route) => Some(route),
        }
    }
}

/// One question.
#[derive(Debug)]
pub(super) struct Draw {
    /// Of which limits.
    pub(super) subject: Subject,
    /// Which turn of the limits it was made for; the answer to another is not used.
    pub(super) turn: u32,
    /// When it was made.
    pub(super) sent_ms: u64,
    /// When it is to have no effect any more, by Redis's clock, where that is known.
    pub(super) not_after_ms: Option<u64>,
    /// What is wanted.
    pub(super) wanted: Wanted,
    /// Beyond those who wait, so much at most.
    pub(super) most: u32,
    /// What was granted before and was not used: when, by Redis's clock, and how much.
    pub(super) returns: Vec<(u64, u32)>,
    /// The windows, one a length.
    pub(super) windows: Vec<Drawn>,
}

/// What a draw is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// To have what passed booked, and to learn how the limits stand.
    Nothing,
    /// A batch, for those who come.
    Ahead,
    /// A pass for each of so many who wait.
    For(u32),
}

/// A draw's part for one window.
#[derive(Debug)]
pub(super) struct Drawn {
    /// The limit.
    pub(super) limit: Limit,
    /// Whether `books` is all that this instance has counted in the window.
    pub(super) fresh: bool,
    /// What is to be booked: how many milliseconds ago, and how much.
    pub(super) books: Vec<(u64, u32)>,
    /// The same, as it is owed again if there is no answer.
    pub(super) owed: SlidingWindow,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// When it was given, by Redis's clock.
    pub(super) now_ms: u64,
    /// What it is.
    pub(super) outcome: Outcome,
}

/// What became of a draw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It came too late, and nothing was done.
    Stale,
    /// Nothing was done: of these windows Redis has lost what this instance had counted.
    Unknown(Vec<bool>),
    /// It was booked, and maybe something was granted.
    Done {
        /// How much may pass.
        granted: u32,
        /// For so long, from when it was asked.
        valid_ms: u64,
        /// The limit that is reached now: its place, and in how many milliseconds one more passes.
        reached: Option<(usize, u64)>,
        /// Of each window what is left, and milliseconds until it is whole.
        windows: Vec<(u32, u64)>,
    },
}

impl Draw {
    /// How long a grant for those who wait is good.
    pub(super) fn slack_ms(&self) -> u64 {
        self.parts_ms().min().map_or(SLACK_MS, |shortest_ms| shortest_ms.min(SLACK_MS))
    }

    /// The parts of its windows.
    pub(super) fn parts_ms(&self) -> impl Iterator<Item = u64> {
        self.windows.iter().map(|drawn| part_ms(drawn.limit.window))
    }

    /// All of it but the instance's name, in the order of the script; `live` instances share the
    /// limits.
    pub(super) fn numbers(&self, live: u32) -> Vec<u64> {
        let mut numbers = vec![self.not_after_ms.unwrap_or(0)];
        let wanted = match self.wanted {
            Wanted::Nothing => 0,
            Wanted::Ahead => 1,
            Wanted::For(waiting) => u64::from(waiting) + 1,
        };
        numbers.extend([wanted, self.most.into(), SPREAD * u64::from(live), self.slack_ms()]);
        push_pairs(&mut numbers, &self.returns);
        for drawn in &self.windows {
            let Limit { max, window } = drawn.limit;
            numbers.extend([length_ms(window), part_ms(window), max.get().into()]);
            numbers.push(drawn.fresh.into());
            push_pairs(&mut numbers, &drawn.books);
        }
        numbers
    }
}

fn push_pairs(numbers: &mut Vec<u64>, pairs: &[(u64, u32)]) {
    numbers.push(pairs.len() as u64);
    numbers.extend(pairs.iter().flat_map(|(first, second)| [*first, u64::from(*second)]));
}

impl Answer {
    /// Reads what the script returned; `None` where that is nothing of its own.
    pub(super) fn read(numbers: &[u64]) -> Option<Self> {
        let [kind, now_ms, rest @ ..] = numbers else { return None };
        let outcome = match (kind, rest) {
            (0, []) => Outcome::Stale,
            (1, flags) => Outcome::Unknown(flags.iter().map(|flag| *flag == 1).collect()),
            (2, [granted, valid_ms, reached, retry_ms, windows @ ..]) => Outcome::Done {
                granted: count(*granted),
                valid_ms: *valid_ms,
                reached: reached.checked_sub(1).map(|place| (place as usize, *retry_ms)),
                windows: windows
                    .as_chunks()
                    .0
                    .iter()
                    .map(|[left, ms]| (count(*left), *ms))
                    .collect(),
            },
            _ => return None,
        };
        Some(Self { now_ms: *now_ms, outcome })
    }
}

/// No limit is beyond it.
fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// A window's length.
pub(super) fn length_ms(window: Window) -> u64 {
    u64::from(window.seconds()) * 1_000
}

/// The finest that Redis tells apart in it.
pub(super) fn part_ms(window: Window) -> u64 {
    length_ms(window).div_ceil(PARTS)
}
