//! Money in requests: a decimal text, or a number that is read digit by digit.

use serde::{Deserialize, Deserializer, de};
use serde_json::value::RawValue;
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::Millionths;

/// The largest whole amount that can be kept.
const MOST: i64 = i64::MAX / 1_000_000;

/// An amount that a request gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Amount(pub(super) Millionths);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        let text = value.get();
        let digits = match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
            Some(digits) => digits.to_owned(),
            None => plain(text),
        };
        digits.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A number without an exponent: few write money with one, but many libraries do for them.
fn plain(number: &str) -> String {
    match number.parse::<f64>() {
        Ok(value) if number.contains(['e', 'E']) => value.to_string(),
        _ => number.to_owned(),
    }
}

impl ToSchema for Amount {}

impl PartialSchema for Amount {
    fn schema() -> RefOr<Schema> {
        let text = ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(r"^[0-9]{1,12}(\.[0-9]{1,6})?$"))
            .examples(["50.00"]);
        let number = ObjectBuilder::new()
            .schema_type(Type::Number)
            .format(Some(SchemaFormat::Custom("decimal".to_owned())))
            .minimum(Some(0))
            .maximum(Some(MOST))
            .multiple_of(Some(0.000_001));
        let either = AnyOfBuilder::new()
            .item(text)
            .item(number)
            .description(Some("A decimal number from 0 with at most six decimals."));
        either.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_a_text_or_a_number_and_exact() {
        for (json, amount) in [
            ("\"50.00\"", "50.00"),
            ("50", "50.00"),
            ("0.1", "0.10"),
            ("9223372036854.775807", "9223372036854.775807"),
            ("1e-6", "0.000001"),
            ("2.5E2", "250.00"),
            (" 7 ", "7.00"),
        ] {
            let read: Amount = serde_json::from_str(json).unwrap();
            assert_eq!(read.0.to_string(), amount, "{json}");
        }
        for json in
            ["-1", "\"-1\"", "1e-7", "0.0000001", "true", "null", "[]", "\"\"", "\"1e2\"", "1e300"]
        {
            assert!(serde_json::from_str::<Amount>(json).is_err(), "{json}");
        }
    }
}
