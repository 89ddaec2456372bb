//! What is typed behind flags, read into domain types.

use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::failure::{Failure, Result};
use crate::config::units;
use crate::domain::{KeyStatus, Millionths};

/// `--expires`: `never`, a duration from now, a day, or an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// Lasts until it is revoked.
    Never,
    /// So long from now.
    In(Duration),
    /// Then.
    At(Timestamp),
}

impl FromStr for Expiry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "never" {
            return Ok(Self::Never);
        }
        if let Ok(length) = units::parse_duration(text) {
            return Ok(Self::In(length));
        }
        if let Ok(at) = text.parse::<Timestamp>() {
            return Ok(Self::At(at));
        }
        let midnight = |day: Date| day.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
        if let (10, Ok(Ok(at))) = (text.len(), text.parse::<Date>().map(midnight)) {
            return Ok(Self::At(at));
        }
        Err("say `never`, a time from now like `90d`, a day like `2027-01-31` (00:00 UTC of it) \
             or an instant like `2027-01-31T12:00:00Z`"
            .to_owned())
    }
}

impl Expiry {
    /// The end that is meant, told from now.
    pub(crate) fn resolve(self, now: Timestamp) -> Result<Option<Timestamp>> {
        match self {
            Self::Never => Ok(None),
            Self::At(at) => Ok(Some(at)),
            Self::In(length) => {
                match now.checked_add(length) {
                    Ok(at) => Ok(Some(at)),
                    Err(_) => Err(Failure::mistaken("the expiry is after the year 9999")
                        .with_hint("say `never`")),
                }
            }
        }
    }
}

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

/// The time so long before now; the earliest there is where that is before all time.
pub(crate) fn before(now: Timestamp, length: Duration) -> Timestamp {
    now.checked_sub(length).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expiry_is_never_a_time_from_now_a_day_or_an_instant() {
        let at = |text: &str| Ok(Expiry::At(text.parse().unwrap()));
        assert_eq!("never".parse(), Ok(Expiry::Never));
        assert_eq!("90d".parse(), Ok(Expiry::In(Duration::from_hours(90 * 24))));
        assert_eq!("2027-01-31".parse::<Expiry>(), at("2027-01-31T00:00:00Z"));
        assert_eq!("2027-01-31T12:00:00+02:00".parse::<Expiry>(), at("2027-01-31T10:00:00Z"));
        for wrong in
            ["", "soon", "90", "2027-02-30", "2027-1-31", "2027-01-31T12:00:00", "20270131"]
        {
            assert!(wrong.parse::<Expiry>().is_err(), "{wrong}");
        }
    }

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

    #[test]
    fn an_expiry_past_all_time_is_refused() {
        let now = "2027-01-31T00:00:00Z".parse().unwrap();
        assert!(Expiry::In(Duration::from_secs(u64::MAX)).resolve(now).is_err());
        assert_eq!(Expiry::Never.resolve(now).unwrap(), None);
    }
}
