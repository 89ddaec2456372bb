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

/// The highest cost of one request, in millionths: a million. What an upstream says beyond it is an
/// error of its own.
pub const MAX_COST: i64 = 1_000_000 * 1_000_000;

/// Whether what is left is enough: the one comparison of money there is. Both in millionths; what is
/// left may be less than nothing.
pub fn covers(left: i64, cost: i64) -> bool {
    cost <= left
}

/// What a lease is measured by. All amounts are millionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseSize {
    /// What would do.
    pub want: i64,
    /// What would do for long, where it is next to nothing of what is left.
    pub ample: i64,
    /// What it takes at least, more than 0.
    pub least: i64,
    /// What one request takes, more than 0: a lease grows by whole ones, so that no part of one is
    /// left over in each of several instances.
    pub unit: i64,
    /// How many instances share what is left.
    pub instances: usize,
}

/// How much of what is `left` one instance gets: what it wants, but of what is left at most half its
/// share, so that leases become small where the end is near and none holds what another needs. Far from
/// the end it gets what lasts long, up to a sixty-fourth of its share, so that a key with a large budget
/// hardly ever asks. `None`: there is not even what it takes at least.
pub fn lease_size(left: i64, size: LeaseSize) -> Option<i64> {
    let LeaseSize { want, ample, least, unit, instances } = size;
    if !covers(left, least) {
        return None;
    }
    let share = left / i64::try_from(instances.max(1)).unwrap_or(i64::MAX);
    let amount = want.min(share / 2).max(ample.min(share / 64));
    let beyond = amount.saturating_sub(least).max(0);
    Some(least + beyond / unit.max(1) * unit.max(1))
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

    #[test]
    fn what_is_left_is_enough_up_to_itself() {
        for limit in [0, 1, 1_000, i64::MAX - 1] {
            assert!(covers(limit, limit - 1));
            assert!(covers(limit, limit));
            assert!(!covers(limit, limit + 1));
        }
        assert!(!covers(-1, 0));
    }

    #[test]
    fn a_lease_is_what_is_wanted_but_half_a_share_at_most_and_never_less_than_it_takes() {
        let size = |want, least| LeaseSize { want, ample: 0, least, unit: 10, instances: 3 };
        assert_eq!(lease_size(6_000, size(200, 10)), Some(200));
        assert_eq!(lease_size(6_000, size(5_000, 10)), Some(1_000));
        assert_eq!(lease_size(6_000, size(5_000, 3)), Some(993));
        assert_eq!(lease_size(10, size(5_000, 10)), Some(10));
        assert_eq!(lease_size(9, size(5_000, 10)), None);
        assert_eq!(lease_size(-5, size(5_000, 10)), None);
    }

    #[test]
    fn far_from_the_end_a_lease_lasts_long_and_is_next_to_nothing_of_what_is_left() {
        let size = LeaseSize { want: 20, ample: 6_000, least: 10, unit: 10, instances: 3 };
        assert_eq!(lease_size(192_000_000, size), Some(6_000));
        assert_eq!(lease_size(192_000, size), Some(1_000));
        assert_eq!(lease_size(1_920, size), Some(20));
        assert_eq!(lease_size(60, size), Some(10));
    }

    proptest! {
        #[test]
        fn a_lease_never_takes_more_than_is_left(
            left in -1_000..1_000_000_i64,
            want in 0..2_000_000_i64,
            ample in 0..2_000_000_i64,
            least in 1..2_000_i64,
            unit in 1..2_000_i64,
            instances in 0..9_usize,
        ) {
            let size = LeaseSize { want, ample, least, unit, instances };
            let amount = lease_size(left, size);
            prop_assert_eq!(amount.is_some(), least <= left);
            if let Some(amount) = amount {
                prop_assert!(amount <= left && amount >= least && (amount - least) % unit == 0);
            }
        }

        #[test]
        fn an_amount_survives_its_text(millionths in 0..i64::MAX) {
            let amount = Millionths::new(millionths).unwrap();
            prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }
    }
}
