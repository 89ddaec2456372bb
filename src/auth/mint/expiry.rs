//! When something ends, as people say it.

use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::MintError;
use crate::config::units;

/// An end: `never`, a duration from now, a day, or an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
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
    /// The end that is meant, told from now; `None`: never.
    pub fn resolve(self, now: Timestamp) -> Result<Option<Timestamp>, MintError> {
        match self {
            Self::Never => Ok(None),
            Self::At(at) => Ok(Some(at)),
            Self::In(length) => now.checked_add(length).map(Some).map_err(|_| {
                MintError::invalid_but("the expiry is after the year 9999", "say `never`")
            }),
        }
    }
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
    fn an_expiry_past_all_time_is_refused() {
        let now = "2027-01-31T00:00:00Z".parse().unwrap();
        assert!(Expiry::In(Duration::from_secs(u64::MAX)).resolve(now).is_err());
        assert_eq!(Expiry::Never.resolve(now).unwrap(), None);
    }
}
