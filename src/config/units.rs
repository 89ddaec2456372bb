//! Durations and sizes as people write them: `30s`, `7d`, `32KiB`.
//!
//! The configuration and the commands read them by the same functions, so that `--grace 7d` and
//! `rotation_grace = "7d"` can never mean different things.

use std::time::Duration;

use thiserror::Error;

/// A century: longer ones are typing errors, and dates stay far from the calendar's end.
const LONGEST: Duration = Duration::from_hours(36_500 * 24);

const DURATION_UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const SIZE_UNITS: [(&str, u64); 4] =
    [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a duration is a whole number and one of ms, s, m, h, d, at most 36500d, like 30s or 7d")]
pub struct DurationError;

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a size is a whole number of bytes, or one with B, KiB, MiB or GiB, like 32KiB")]
pub struct SizeError;

/// Reads a duration: a whole number and `ms`, `s`, `m`, `h` or `d`; `0` needs no unit.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let milliseconds = scaled(text, &DURATION_UNITS).ok_or(DurationError)?;
    let duration = Duration::from_millis(milliseconds);
    (duration <= LONGEST).then_some(duration).ok_or(DurationError)
}

/// Writes a duration, cut to milliseconds, in the largest unit that leaves a whole number.
pub fn format_duration(duration: Duration) -> String {
    match duration.as_millis() as u64 {
        0 => "0s".to_owned(),
        milliseconds => format_scaled(milliseconds, &DURATION_UNITS),
    }
}

/// Reads a size in bytes: a whole number, alone or with `B`, `KiB`, `MiB` or `GiB`.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let bytes = if text.bytes().all(|b| b.is_ascii_digit()) {
        text.parse().ok()
    } else {
        scaled(text, &SIZE_UNITS)
    };
    bytes.ok_or(SizeError)
}

/// Writes a size in the largest unit that leaves a whole number.
pub fn format_size(bytes: u64) -> String {
    match bytes {
        0 => "0B".to_owned(),
        bytes => format_scaled(bytes, &SIZE_UNITS),
    }
}

/// Digits and one of the units, nothing between, before or behind.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn format_scaled(value: u64, units: &[(&str, u64)]) -> String {
    let (name, factor) = units
        .iter()
        .rev()
        .find(|(_, factor)| value.is_multiple_of(*factor))
        .expect("the smallest unit is 1 and divides everything");
    format!("{}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        for (text, milliseconds) in [
            ("0", 0),
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("36500d", 3_153_600_000_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "30", "s", "-1s", "+1s", "1.5h", "30 s", "1h30m", "1w", "36501d", "1S"] {
            assert_eq!(parse_duration(text), Err(DurationError), "{text}");
        }
    }

    #[test]
    fn sizes_are_bytes_or_a_number_and_a_binary_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("17", 17),
            ("17B", 17),
            ("32KiB", 32_768),
            ("1MiB", 1 << 20),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "KiB", "1KB", "1M", "1 MiB", "-1", "1.5MiB", "99999999999999GiB"] {
            assert_eq!(parse_size(text), Err(SizeError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in 0u64..=3_153_600_000_000) {
            let duration = Duration::from_millis(value);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
            prop_assert_eq!(parse_size(&format_size(value)), Ok(value));
        }

        #[test]
        fn no_text_makes_the_readers_panic(text in "\\PC*") {
            let _ = (parse_duration(&text), parse_size(&text));
        }
    }
}
