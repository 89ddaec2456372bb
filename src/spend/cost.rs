//! What a request costs: fixed by its route, or said by the upstream.

use http::{HeaderMap, HeaderName};
use thiserror::Error;

use crate::domain::Millionths;
use crate::domain::money::MAX_COST;

/// How a route's requests are charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// What one costs, or, where the upstream says it, what is charged when it says nothing usable.
    pub fixed: i64,
    /// The header in which the upstream says it.
    pub header: Option<HeaderName>,
}

/// Why what the upstream said is no cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CostError {
    /// It said nothing.
    #[error("the header is missing")]
    Missing,
    /// It said more than one thing.
    #[error("the header is there more than once")]
    Several,
    /// Not a decimal number from 0.
    #[error("it is no decimal number from 0")]
    NotANumber,
    /// More than any request costs.
    #[error("it is more than 1000000")]
    Absurd,
}

impl Charge {
    /// Whether requests are known to cost nothing.
    pub fn is_free(&self) -> bool {
        self.fixed == 0 && self.header.is_none()
    }

    /// What must be there for a request to be let through, in millionths: its cost, or, where that is
    /// not known yet, anything at all.
    pub fn least(&self) -> i64 {
        if self.header.is_some() { self.fixed.max(1) } else { self.fixed }
    }

    /// What the upstream said that a request cost, taken out of its answer's headers; without a
    /// header, what it costs.
    pub fn settle(&self, headers: &mut HeaderMap) -> Result<i64, CostError> {
        let Some(name) = &self.header else { return Ok(self.fixed) };
        let cost = {
            let mut said = headers.get_all(name).iter();
            match (said.next(), said.next()) {
                (None, _) => Err(CostError::Missing),
                (Some(_), Some(_)) => Err(CostError::Several),
                (Some(cost), None) => parse(cost.as_bytes()),
            }
        };
        headers.remove(name);
        cost
    }
}

/// A cost as an upstream says it: an amount, with any number of decimals. What is less than a
/// millionth is charged as one, so that nothing is had for less than it costs.
fn parse(said: &[u8]) -> Result<i64, CostError> {
    let said = std::str::from_utf8(said).map_err(|_| CostError::NotANumber)?.trim();
    let (whole, decimals) = said.split_once('.').unwrap_or((said, ""));
    let (exact, beyond) = decimals.split_at_checked(6).unwrap_or((decimals, ""));
    if beyond.bytes().any(|byte| !byte.is_ascii_digit()) {
        return Err(CostError::NotANumber);
    }
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if digits(whole) && whole.trim_start_matches('0').len() > 7 {
        return Err(CostError::Absurd);
    }
    let text = if exact.is_empty() { whole.to_owned() } else { format!("{whole}.{exact}") };
    let cost: Millionths = match said.strip_suffix('.') {
        Some(_) => return Err(CostError::NotANumber),
        None => text.parse().map_err(|_| CostError::NotANumber)?,
    };
    let rounded_up = i64::from(beyond.bytes().any(|byte| byte != b'0'));
    match cost.get() + rounded_up {
        cost if cost > MAX_COST => Err(CostError::Absurd),
        cost => Ok(cost),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(values: &[&str]) -> Result<i64, CostError> {
        let name = HeaderName::from_static("x-cost");
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(&name, value.parse().unwrap());
        }
        let charge = Charge { fixed: 5, header: Some(name.clone()) };
        let cost = charge.settle(&mut headers);
        assert!(!headers.contains_key(name), "the client is not told");
        cost
    }

    #[test]
    fn a_cost_is_read_to_the_millionth_and_rounded_up_below_it() {
        for (text, cost) in [
            ("0", 0),
            ("0.002", 2_000),
            (" 1.5 ", 1_500_000),
            ("0.0000001", 1),
            ("0.00000100", 1),
            ("0.1234567", 123_457),
            ("1000000", MAX_COST),
        ] {
            assert_eq!(said(&[text]), Ok(cost), "{text}");
        }
    }

    #[test]
    fn what_is_no_cost_is_refused_and_said_why() {
        assert_eq!(said(&[]), Err(CostError::Missing));
        assert_eq!(said(&["1", "1"]), Err(CostError::Several));
        for text in ["", "-1", "+1", "1e3", "NaN", "1.", ".5", "1.0000001x", "0x10", "1,5"] {
            assert_eq!(said(&[text]), Err(CostError::NotANumber), "{text}");
        }
        for text in ["1000000.000001", "1000001", "99999999999999999999"] {
            assert_eq!(said(&[text]), Err(CostError::Absurd), "{text}");
        }
    }

    #[test]
    fn without_a_header_the_route_says_it() {
        let fixed = Charge { fixed: 5, header: None };
        assert_eq!((fixed.least(), fixed.settle(&mut HeaderMap::new())), (5, Ok(5)));
        assert!(!fixed.is_free() && Charge { fixed: 0, header: None }.is_free());
        let unknown = Charge { fixed: 0, header: Some(HeaderName::from_static("x-cost")) };
        assert!(!unknown.is_free() && unknown.least() == 1);
    }
}
