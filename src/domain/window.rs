//! Rate limits as they are written: `60/min`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use thiserror::Error;

/// The length of time that a limit counts over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Window {
    /// One second, written `s`.
    Second,
    /// Sixty seconds, written `min`.
    Minute,
    /// Sixty minutes, written `hour`.
    Hour,
    /// Twenty-four hours, written `day`.
    Day,
}

impl Window {
    /// Every window, shortest first.
    pub const ALL: [Self; 4] = [Self::Second, Self::Minute, Self::Hour, Self::Day];

    /// The window's length in seconds.
    pub fn seconds(self) -> u32 {
        match self {
            Self::Second => 1,
            Self::Minute => 60,
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// The window as it is written behind the slash.
    pub fn name(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "min",
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }
}

/// No more than `max` requests in any window of the length, wherever it begins.
///
/// As text: `60/min`, with `s`, `min`, `hour` or `day` behind the slash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Limit {
    /// How many requests pass.
    pub max: NonZeroU32,
    /// Over how long.
    pub window: Window,
}

/// Why a text is not a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "a limit is a number from 1 to 4294967295, a slash and one of s, min, hour, day, like 60/min"
)]
pub struct LimitError;

impl FromStr for Limit {
    type Err = LimitError;

    fn from_str(text: &str) -> Result<Self, LimitError> {
        let (max, name) = text.split_once('/').ok_or(LimitError)?;
        if !max.bytes().all(|b| b.is_ascii_digit()) {
            return Err(LimitError);
        }
        let max = max.parse().map_err(|_| LimitError)?;
        let window = Window::ALL.into_iter().find(|w| w.name() == name).ok_or(LimitError)?;
        Ok(Self { max, window })
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.max, self.window.name())
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How one limit of a key stands, by the very counters that decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitStanding {
    /// The limit.
    pub limit: Limit,
    /// The route whose own limit it is; `None`: it holds for all that the key does.
    pub route: Option<String>,
    /// How many more requests would pass now.
    pub remaining: u32,
    /// When the window is whole again.
    pub reset_at: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_shown_as_it_was_written() {
        for text in ["1/s", "60/min", "1000/hour", "4294967295/day"] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for text in ["", "60", "0/min", "-1/min", "+1/min", "60/minute", "60 / min", "4294967296/s"]
        {
            assert_eq!(text.parse::<Limit>(), Err(LimitError), "{text}");
        }
    }
}
