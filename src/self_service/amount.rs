//! Money as the calls' document has it: numbers, exact to the millionth.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::domain::Millionths;

/// An amount as a JSON number. Its digits are written as they are: a float would round them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amount(pub(super) Millionths);

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number = RawValue::from_string(self.0.to_string());
        number.expect("decimal digits are a JSON number").serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_number_with_all_its_digits() {
        for (text, number) in
            [("25", "25.00"), ("0.1", "0.10"), ("9007199254740.993001", "9007199254740.993001")]
        {
            let amount = Amount(text.parse().unwrap());
            assert_eq!(serde_json::to_string(&amount).unwrap(), number);
        }
    }
}
