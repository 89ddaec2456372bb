//! Step 4: the credential in a request's headers.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::domain::{Reason, Refusal};

/// A credential, and which of the configured headers held it: one bit each, in their order.
#[derive(Clone, Debug)]
pub struct Credential<'a> {
    /// What the client gave.
    pub text: &'a [u8],
    /// Headers to take off before forwarding.
    pub held_in: u64,
}

/// Finds the one credential in the configured headers.
///
/// None at all is `missing_key`; two that differ, or one header twice, are `bad_request`. An
/// `Authorization` of another scheme than Bearer is none of ours (RFC 6750 section 2.1).
pub fn find<'a>(headers: &'a HeaderMap, names: &[HeaderName]) -> Result<Credential<'a>, Refusal> {
    let mut found: Option<Credential<'a>> = None;
    for (place, name) in names.iter().enumerate() {
        let mut values = headers.get_all(name).iter();
        let Some(value) = values.next() else { continue };
        if values.next().is_some() {
            return Err(Refusal::BadRequest("a credential header given twice"));
        }
        let Some(text) = text_of(name, value) else { continue };
        match &mut found {
            None => found = Some(Credential { text, held_in: 1 << place }),
            Some(first) if first.text == text => first.held_in |= 1 << place,
            Some(_) => return Err(Refusal::BadRequest("two different credentials")),
        }
    }
    found.ok_or_else(|| Reason::MissingKey.into())
}

/// The credential that one header holds, if it holds any.
pub fn text_of<'a>(name: &HeaderName, value: &'a HeaderValue) -> Option<&'a [u8]> {
    let bytes = value.as_bytes().trim_ascii();
    let text = if name == AUTHORIZATION { bearer(bytes)? } else { bytes };
    (!text.is_empty()).then_some(text)
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(6)?;
    let separated = rest.is_empty() || rest.starts_with(b" ");
    (scheme.eq_ignore_ascii_case(b"bearer") && separated).then(|| rest.trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(fields: &[(&'static str, &'static str)]) -> Result<(String, u64), Reason> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let names = [AUTHORIZATION, HeaderName::from_static("x-api-key")];
        find(&headers, &names)
            .map(|found| (String::from_utf8_lossy(found.text).into_owned(), found.held_in))
            .map_err(|refusal| refusal.reason())
    }

    #[test]
    fn the_credential_is_found_in_any_configured_header() {
        let key = |bits| Ok(("k".to_owned(), bits));
        for value in ["Bearer k", "bearer k", "BEARER   k", "Bearer k "] {
            assert_eq!(outcome(&[("authorization", value)]), key(0b01), "{value:?}");
        }
        assert_eq!(outcome(&[("x-api-key", "k")]), key(0b10));
        assert_eq!(outcome(&[("authorization", "Bearer k"), ("x-api-key", "k")]), key(0b11));
        assert_eq!(outcome(&[("authorization", "Basic abc"), ("x-api-key", "k")]), key(0b10));
    }

    #[test]
    fn what_holds_no_credential_is_a_missing_key() {
        for value in ["Bearer", "Bearer ", "Bearer    ", "Basic k", "k", "", "Bearerk", "Bearer\tk"]
        {
            assert_eq!(outcome(&[("authorization", value)]), Err(Reason::MissingKey), "{value:?}");
        }
        assert_eq!(outcome(&[("x-api-key", " ")]), Err(Reason::MissingKey));
        assert_eq!(outcome(&[]), Err(Reason::MissingKey));
    }

    #[test]
    fn two_credentials_are_ambiguous() {
        for fields in [
            [("authorization", "Bearer k"), ("x-api-key", "other")],
            [("authorization", "Bearer k"), ("authorization", "Bearer k")],
            [("authorization", "Basic k"), ("authorization", "Bearer k")],
            [("x-api-key", "k"), ("x-api-key", "k")],
        ] {
            assert_eq!(outcome(&fields), Err(Reason::BadRequest), "{fields:?}");
        }
    }
}
