//! What is typed behind flags, read into domain types.

use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};

pub(crate) use crate::auth::mint::Expiry;
use crate::config::units;
use crate::domain::{KeyStatus, Millionths};

/// `--budget` of a key that there is: an amount or `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget(Option<Millionths>);

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(None));
        }
        text.parse().map(|amount| Self(Some(amount))).map_err(|error| format!("{error}, or `none`"))
    }
}

impl Budget {
    /// What may be spent; `None`: without bound.
    pub(crate) fn amount(self) -> Option<Millionths> {
        self.0
    }
}

/// `--rotate-every`: `never`, or whole days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval(pub(crate) Option<u32>);

impl FromStr for Interval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self(None));
        }
        let seconds = units::parse_duration(text).map(|length| length.as_secs());
        match seconds {
            Ok(seconds) if seconds > 0 && seconds.is_multiple_of(86_400) => {
                Ok(Self(Some(u32::try_from(seconds / 86_400).unwrap_or(u32::MAX))))
            }
            _ => Err("say `never` or whole days like `90d`".to_owned()),
        }
    }
}

/// `--meta NAME=VALUE`.
pub(crate) fn note(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("metadata is written NAME=VALUE".to_owned()),
    }
}

/// `--status`.
pub(crate) fn status() -> impl TypedValueParser<Value = KeyStatus> {
    PossibleValuesParser::new(KeyStatus::ALL.map(KeyStatus::name)).map(|name| {
        let status = KeyStatus::ALL.into_iter().find(|status| status.name() == name);
        status.expect("the parser lets only these names through")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_is_never_or_whole_days() {
        assert_eq!("never".parse(), Ok(Interval(None)));
        assert_eq!("90d".parse(), Ok(Interval(Some(90))));
        assert_eq!("48h".parse(), Ok(Interval(Some(2))));
        for wrong in ["", "0d", "90", "36h", "soon", "1500ms"] {
            assert!(wrong.parse::<Interval>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_note_has_a_name_and_may_be_empty() {
        assert_eq!(note("team=core"), Ok(("team".to_owned(), "core".to_owned())));
        assert_eq!(note("url=a=b"), Ok(("url".to_owned(), "a=b".to_owned())));
        assert_eq!(note("team="), Ok(("team".to_owned(), String::new())));
        assert!(note("=core").is_err() && note("team").is_err());
    }
}
