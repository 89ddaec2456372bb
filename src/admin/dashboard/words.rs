//! Times, spans and numbers as pages write them: each with its unit, times in UTC.

use std::fmt::Display;

use jiff::{SignedDuration, Timestamp};

use crate::store::{Page, PageRequest};

/// A moment, and how far it is from now: `time` and `when` in `parts.html`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) struct Moment {
    at: Timestamp,
    now: Timestamp,
}

impl Moment {
    /// That moment, seen from `now`.
    pub(in crate::admin) fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now }
    }

    /// The same where there is one.
    pub(in crate::admin) fn of(at: Option<Timestamp>, now: Timestamp) -> Option<Self> {
        at.map(|at| Self { at, now })
    }

    /// For machines.
    pub(super) fn machine(&self) -> String {
        self.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }

    /// To the minute.
    pub(super) fn utc(&self) -> String {
        self.at.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }

    /// To the second.
    pub(super) fn exact(&self) -> String {
        self.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    }

    /// `3 min ago`, `in 5 days`.
    pub(super) fn relative(&self) -> String {
        let distance = self.at.duration_since(self.now);
        let length = span(distance);
        match distance.as_secs() {
            0 => "just now".to_owned(),
            1.. => format!("in {length}"),
            _ => format!("{length} ago"),
        }
    }
}

/// A span in the largest unit that it fills, cut to whole ones; its sign is not shown.
pub(in crate::admin) fn span(length: SignedDuration) -> String {
    let seconds = length.as_secs().unsigned_abs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        172_800..63_072_000 => format!("{} days", seconds / 86_400),
        _ => format!("{} years", seconds / 31_536_000),
    }
}

/// A count in groups of three digits: `12,345`.
pub(in crate::admin) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// So many of something: `1 key`, `1,200 keys`.
pub(in crate::admin) fn counted(number: u64, one: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {one}{plural}", count(number))
}

/// Microseconds in the unit that suits them: `85 µs`, `1.25 ms`, `2.10 s`.
pub(in crate::admin) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{:02} ms", us / 1_000, us % 1_000 / 10),
        _ => format!("{}.{:02} s", us / 1_000_000, us % 1_000_000 / 10_000),
    }
}

/// A part of a whole in whole per cent, cut; nothing of nothing is 0.
pub(in crate::admin) fn percent(part: i64, whole: i64) -> u64 {
    if whole <= 0 {
        return if part > 0 { 100 } else { 0 };
    }
    u64::try_from(i128::from(part.max(0)) * 100 / i128::from(whole)).unwrap_or(u64::MAX)
}

/// The class of a badge that says how something stands, by the word that it says.
pub(in crate::admin) fn tone(word: &str) -> &'static str {
    match word {
        "active" | "passed" | "delivered" | "running" | "up" => "good",
        "disabled" | "grace" | "pending" | "silent" | "overdue" | "due" => "warn",
        "revoked" | "expired" | "failed" | "down" | "refused" => "bad",
        _ => "",
    }
}

/// Words behind each other: `a, b, c`.
pub(in crate::admin) fn listed<T: Display>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// A page of a list that begins behind the row of that cursor.
pub(in crate::admin) fn page_from(after: Option<String>, rows: u32) -> PageRequest {
    PageRequest { after: after.filter(|after| !after.is_empty()), limit: rows }
}

/// Where the next page is: the list's address with everything that it was asked with, and a cursor.
pub(in crate::admin) fn next_page<T>(
    address: &str,
    asked: &[(String, String)],
    page: &Page<T>,
) -> Option<String> {
    let cursor = ("cursor".to_owned(), page.next_cursor.clone()?);
    Some(format!("{address}?{}", query(narrowing(asked).chain([&cursor]))))
}

/// Where the list begins: its address with everything that it was asked with but a cursor.
pub(in crate::admin) fn first_page(address: &str, asked: &[(String, String)]) -> String {
    format!("{address}?{}", query(narrowing(asked)))
}

/// What a list was asked with, where it begins left aside.
pub(in crate::admin) fn narrowing(
    asked: &[(String, String)],
) -> impl Iterator<Item = &(String, String)> {
    asked.iter().filter(|(name, value)| name != "cursor" && !value.is_empty())
}

/// Names and values as a query string.
pub(in crate::admin) fn query<'a>(
    fields: impl IntoIterator<Item = &'a (String, String)>,
) -> String {
    let fields = fields.into_iter();
    fields
        .map(|(name, value)| format!("{}={}", escaped(name), escaped(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// A text as a part of an address: all but letters, digits, `-`, `.`, `_` and `~` by their bytes.
pub(in crate::admin) fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.extend(['%', hex(byte >> 4), hex(byte & 15)]);
        }
    }
    escaped
}

fn hex(digit: u8) -> char {
    char::from_digit(u32::from(digit), 16).unwrap_or('0').to_ascii_uppercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_moment_is_told_from_now_in_its_largest_unit() {
        let relative = |second| Moment::new(at(second), at(100_000_000)).relative();
        for (second, said) in [
            (100_000_000, "just now"),
            (99_999_999, "1 s ago"),
            (99_999_940, "1 min ago"),
            (99_993_000, "1 h ago"),
            (99_800_000, "2 days ago"),
            (0, "3 years ago"),
            (100_000_030, "in 30 s"),
            (100_864_000, "in 10 days"),
        ] {
            assert_eq!(relative(second), said, "{second}");
        }
        assert_eq!(Moment::new(at(0), at(9)).utc(), "1970-01-01 00:00 UTC");
        assert_eq!(Moment::new(at(0), at(9)).machine(), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn numbers_are_grouped_and_carry_their_unit() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(counted(1, "key") + " of " + &counted(2_000, "key"), "1 key of 2,000 keys");
        assert_eq!([7, 1_250, 2_100_000].map(micros), ["7 µs", "1.25 ms", "2.10 s"]);
        assert_eq!(percent(81, 100), 81);
        assert_eq!((percent(1, 0), percent(0, 0), percent(-5, 10)), (100, 0, 0));
        assert_eq!(percent(i64::MAX, 1), u64::MAX);
    }

    #[test]
    fn what_stands_in_an_address_cannot_leave_its_place() {
        assert_eq!(escaped("a b&c=d/<\"é>"), "a%20b%26c%3Dd%2F%3C%22%C3%A9%3E");
        let asked = [("q".to_owned(), "a&b".to_owned()), ("cursor".to_owned(), "old".to_owned())];
        let page = Page { rows: vec![()], next_cursor: Some("key_1".to_owned()) };
        assert_eq!(next_page("/keys", &asked, &page).unwrap(), "/keys?q=a%26b&cursor=key_1");
        assert_eq!(next_page("/keys", &asked, &Page { next_cursor: None, ..page }), None);
    }
}
