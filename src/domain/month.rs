//! Calendar months in UTC, by which budgets go.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A calendar month in UTC, counted from the year 0: `year * 12 + month - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u32);

impl Month {
    /// The month that a moment is in.
    pub fn of(at: Timestamp) -> Self {
        let date = at.to_zoned(TimeZone::UTC).date();
        Self(
            u32::from(date.year().unsigned_abs()) * 12 + u32::from(date.month().unsigned_abs()) - 1,
        )
    }

    /// The month that a moment in milliseconds since the Unix epoch is in.
    pub fn of_ms(at_ms: i64) -> Self {
        Self::of(Timestamp::from_millisecond(at_ms).unwrap_or_default())
    }

    /// The count, as the stores keep it.
    pub fn number(self) -> u32 {
        self.0
    }

    /// The month of that count.
    pub fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// The one after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Its first moment.
    pub fn begins(self) -> Timestamp {
        let (year, month) = (self.0 / 12, self.0 % 12 + 1);
        let first = Date::new(year as i16, month as i8, 1).expect("a month has a first day");
        first.to_zoned(TimeZone::UTC).expect("UTC has every day").timestamp()
    }

    /// The first moment of the next.
    pub fn ends(self) -> Timestamp {
        self.next().begins()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_midnight_utc_of_its_first_day_and_ends_with_the_next() {
        let last: Timestamp = "2026-11-30T23:59:59.999Z".parse().unwrap();
        let first: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
        assert_eq!(Month::of(last).next(), Month::of(first));
        assert_eq!(Month::of(last).ends(), first);
        assert_eq!(Month::of(first).begins(), first);
        assert_eq!(Month::of(first).ends(), "2027-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(Month::from_number(Month::of(first).number()), Month::of(first));
    }
}
