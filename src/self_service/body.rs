//! Bodies of calls: one flat JSON object, every field of which is known, said once and well-formed.
//!
//! What is wrong is told by the field's name and never by its value.

use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::Outcome;
use crate::domain::{Millionths, Reason, Refusal};

/// The longest list that is read.
const MAX_LIST: usize = 256;
/// The longest text in a list, in bytes.
const MAX_TEXT: usize = 200;
/// The longest name of a field that is said again: shorter than any secret.
const LONGEST_NAME: usize = 32;
/// The longest span of days, a hundred years.
const MAX_DAYS: u32 = 36_500;

/// The fields of a body that nobody has taken yet, each as it was written.
pub(super) struct Fields {
    fields: Vec<(String, Box<RawValue>)>,
}

impl Fields {
    /// Reads a body, of which every field must be one of these. Where it `may_be_empty`, none is an
    /// object without fields.
    pub(super) fn read(body: &[u8], known: &[&str], may_be_empty: bool) -> Outcome<Self> {
        if may_be_empty && body.trim_ascii().is_empty() {
            return Ok(Self { fields: Vec::new() });
        }
        let read: Self = serde_json::from_slice(body).map_err(|error| {
            let is_json = error.is_data();
            bad(if is_json { "the body must be one JSON object" } else { "the body is not JSON" })
        })?;
        for (place, (name, _)) in read.fields.iter().enumerate() {
            if read.fields[..place].iter().any(|(earlier, _)| earlier == name) {
                return Err(bad(format!("the field {} is given twice", called(name))));
            }
            if !known.contains(&name.as_str()) {
                let known = known.join("`, `");
                return Err(bad(format!("there is no field {}, only `{known}`", called(name))));
            }
        }
        Ok(read)
    }

    /// A text that must be there.
    pub(super) fn text(&mut self, name: &str) -> Outcome<String> {
        let value = self.take(name).ok_or_else(|| bad(format!("`{name}` is missing")))?;
        serde_json::from_str(value.get()).map_err(|_| bad(format!("`{name}` must be a text")))
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Outcome<Option<Vec<String>>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let texts: Vec<String> = serde_json::from_str(value.get())
            .map_err(|_| bad(format!("`{name}` must be a list of texts")))?;
        if texts.len() > MAX_LIST || texts.iter().any(|text| text.len() > MAX_TEXT) {
            return Err(bad(format!(
                "`{name}` has more than {MAX_LIST} entries, or one of more than {MAX_TEXT} bytes"
            )));
        }
        Ok(Some(texts))
    }

    /// A list of texts that each say something.
    pub(super) fn list<T>(&mut self, name: &str) -> Outcome<Option<Vec<T>>>
    where
        T: FromStr<Err: fmt::Display>,
    {
        let Some(texts) = self.texts(name)? else { return Ok(None) };
        let read = |text: &String| text.parse().map_err(|error| bad(format!("`{name}`: {error}")));
        texts.iter().map(read).collect::<Outcome<Vec<T>>>().map(Some)
    }

    /// An amount of money: a number, or a text with one.
    pub(super) fn amount(&mut self, name: &str) -> Outcome<Option<Millionths>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let text = value.get();
        let digits = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text);
        let amount = digits.parse().map_err(|error| bad(format!("`{name}`: {error}")))?;
        Ok(Some(amount))
    }

    /// A whole number of days, `least` or more.
    pub(super) fn days(&mut self, name: &str, least: u32) -> Outcome<Option<u32>> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let days = serde_json::from_str(value.get()).ok();
        let days = days.filter(|days| (least..=MAX_DAYS).contains(days));
        let wrong = || bad(format!("`{name}` must be a whole number from {least} to {MAX_DAYS}"));
        days.ok_or_else(wrong).map(Some)
    }

    /// The moment so many days from now.
    pub(super) fn end(&mut self, name: &str, now: Timestamp) -> Outcome<Option<Timestamp>> {
        let days = self.days(name, 1)?;
        let end = |days: u32| now.checked_add(SignedDuration::from_hours(24 * i64::from(days)));
        days.map(end).transpose().map_err(|_| bad(format!("`{name}` ends after the year 9999")))
    }

    /// A field's value, unless it is `null`.
    fn take(&mut self, name: &str) -> Option<Box<RawValue>> {
        let place = self.fields.iter().position(|(known, _)| known == name)?;
        let (_, value) = self.fields.swap_remove(place);
        (value.get() != "null").then_some(value)
    }
}

/// A request that can't be served as it is.
pub(super) fn bad(why: impl Into<String>) -> Refusal {
    Refusal::Because(Reason::BadRequest, why.into().into())
}

/// A field as a message names it; one that is not like a name may be a value gone astray.
fn called(name: &str) -> String {
    let part = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let is_name = (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(part);
    if is_name { format!("`{name}`") } else { "that it has".to_owned() }
}

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Fields;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields: Vec<(String, Box<RawValue>)> = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields { fields })
            }
        }
        deserializer.deserialize_any(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Outcome<Fields> {
        Fields::read(body.as_bytes(), &["name", "scopes", "budget", "days"], false)
    }

    fn why(refusal: Refusal) -> String {
        match refusal {
            Refusal::Because(Reason::BadRequest, why) => why.to_string(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_body_is_one_object_of_known_fields_each_once() {
        for (body, expected) in [
            ("", "not JSON"),
            ("{", "not JSON"),
            ("{} {}", "not JSON"),
            ("{\"name\":\"a\",}", "not JSON"),
            ("[]", "one JSON object"),
            ("7", "one JSON object"),
            ("\"hush\"", "one JSON object"),
            ("{\"name\":\"a\",\"name\":\"b\"}", "`name` is given twice"),
            ("{\"name\":\"a\",\"n\\u0061me\":\"b\"}", "`name` is given twice"),
            ("{\"owner\":\"a\"}", "no field `owner`, only `name`, `scopes`, `budget`, `days`"),
            ("{\"hush-hush\":\"a\"}", "no field that it has"),
        ] {
            let why = why(read(body).err().expect(body));
            assert!(why.contains(expected) && !why.contains("hush"), "{body}: {why}");
        }
        assert!(Fields::read(b" ", &[], true).is_ok());
    }

    #[test]
    fn a_wrong_value_is_told_by_its_field() {
        for body in [r#"{"name":7}"#, r#"{"name":["a"]}"#, "{}", r#"{"name":null}"#] {
            assert!(
                why(read(body).unwrap().text("name").unwrap_err()).contains("`name`"),
                "{body}"
            );
        }
        for value in ["7", "\"a\"", "[7]", "{}"] {
            let mut fields = read(&format!("{{\"scopes\":{value}}}")).unwrap();
            assert!(why(fields.texts("scopes").unwrap_err()).contains("`scopes`"), "{value}");
        }
        for value in ["0", "-1", "1.5", "\"7\"", "36501", "1e3", "99999999999999999999"] {
            let mut fields = read(&format!("{{\"days\":{value}}}")).unwrap();
            assert!(why(fields.days("days", 1).unwrap_err()).contains("`days`"), "{value}");
        }
        for value in ["-1", "\"-1\"", "0.0000001", "1e3", "true", "\"\"", "[1]", "\" 1\"", "NaN"] {
            let Ok(mut fields) = read(&format!("{{\"budget\":{value}}}")) else { continue };
            assert!(why(fields.amount("budget").unwrap_err()).contains("`budget`"), "{value}");
        }
    }

    #[test]
    fn an_amount_is_exact_and_null_is_not_given() {
        for (value, amount) in
            [("25", "25.00"), ("0.1", "0.10"), ("\"50.000001\"", "50.000001"), ("0", "0.00")]
        {
            let mut fields = read(&format!("{{\"budget\": {value} }}")).unwrap();
            assert_eq!(fields.amount("budget").unwrap().unwrap().to_string(), amount);
        }
        assert_eq!(read("{\"budget\":null}").unwrap().amount("budget").unwrap(), None);
        assert_eq!(read("{}").unwrap().days("days", 1).unwrap(), None);
    }
}
