//! Money as integers of a millionth: exact sums, no rounding anywhere.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use thiserror::Error;

/// An amount in millionths of whatever the operator bills in; never negative.
///
/// As text: decimal digits with at least two and at most six decimals (`50.00`, `0.002`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millionths(i64);

/// Why a text is not an amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("an amount is a decimal number from 0 with at most six decimals, like 50.00")]
pub struct MoneyError;

impl Millionths {
    const ONE: i64 = 1_000_000;

    /// Takes a count of millionths; a negative one is no amount.
    pub fn new(millionths: i64) -> Option<Self> {
        (millionths >= 0).then_some(Self(millionths))
    }

    /// The count of millionths.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl FromStr for Millionths {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(decimals) || decimals.len() > 6 {
            return Err(MoneyError);
        }
        let whole: i64 = whole.parse().map_err(|_| MoneyError)?;
        let decimals: i64 = format!("{decimals:0<6}").parse().map_err(|_| MoneyError)?;
        let whole = whole.checked_mul(Self::ONE).ok_or(MoneyError)?;
        whole.checked_add(decimals).map(Self).ok_or(MoneyError)
    }
}

impl fmt::Display for Millionths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = format!("{:06}", self.0 % Self::ONE);
        let shown = decimals.trim_end_matches('0').len().max(2);
        write!(f, "{}.{}", self.0 / Self::ONE, &decimals[..shown])
    }
}

impl Serialize for Millionths {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_and_shown_to_the_millionth() {
        for (text, millionths, shown) in [
            ("50", 50_000_000, "50.00"),
            ("50.00", 50_000_000, "50.00"),
            ("0.002", 2_000, "0.002"),
            ("0.000001", 1, "0.000001"),
            ("0", 0, "0.00"),
        ] {
            let amount: Millionths = text.parse().unwrap();
            assert_eq!(amount.get(), millionths);
            assert_eq!(amount.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e3", "0.0000001", "1,5", "9999999999999999"]
        {
            assert_eq!(text.parse::<Millionths>(), Err(MoneyError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_amount_survives_its_text(millionths in 0..i64::MAX) {
            let amount = Millionths::new(millionths).unwrap();
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }
    }
}
