//! What may be asked for: each rule a pure function over what was asked and the configuration.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{Grants, MintError};
use crate::config::Config;
use crate::domain::key::MAX_NAME;
use crate::domain::rotation::MAX_INTERVAL_DAYS;
use crate::domain::{AddressRange, Limit, scope};
use crate::key::SecretFormat;

/// Notes a key may have.
const MAX_NOTES: usize = 32;
/// The longest name of a note, in characters.
const MAX_NOTE_NAME: usize = 64;
/// The longest note, and the longest reason of a revocation, in characters.
const MAX_TEXT: usize = 500;

/// A name of a key, an owner or a token: 1 to 100 characters, no control characters, no secret.
pub fn name(text: &str, format: &SecretFormat) -> Result<(), MintError> {
    if text.trim().is_empty() || text.chars().count() > MAX_NAME {
        return Err(MintError::invalid(format!("a name has 1 to {MAX_NAME} characters")));
    }
    if text.chars().any(char::is_control) {
        return Err(MintError::invalid("a name has no line breaks or other control characters"));
    }
    no_secret(text, "a name", format)
}

/// Why something was done: up to 500 characters, no control characters, no secret.
pub(super) fn reason(text: &str, format: &SecretFormat) -> Result<(), MintError> {
    if text.chars().count() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(MintError::invalid(format!(
            "a reason is one line of at most {MAX_TEXT} characters"
        )));
    }
    no_secret(text, "a reason", format)
}

/// Permissions opened up and added to the scopes, each scope once, in the order given.
pub(super) fn scopes(grants: &Grants, config: &Config) -> Result<Vec<String>, MintError> {
    let mut scopes = grants.scopes.clone();
    for permission in &grants.permissions {
        scopes.extend_from_slice(bundle(permission, config)?);
    }
    for scope in &scopes {
        known(scope, config)?;
    }
    let mut seen = BTreeSet::new();
    scopes.retain(|scope| seen.insert(scope.clone()));
    Ok(scopes)
}

/// Limits with the shortest window first; one a window.
pub(super) fn limits(mut limits: Vec<Limit>) -> Result<Vec<Limit>, MintError> {
    limits.sort_by_key(|limit| limit.window);
    for pair in limits.windows(2) {
        if pair[0].window == pair[1].window {
            return Err(MintError::invalid(format!(
                "there are two limits for one window, {} and {}: give one",
                pair[0], pair[1]
            )));
        }
    }
    Ok(limits)
}

/// Each address range once, in the order given.
pub(super) fn allowed_ips(ranges: Vec<AddressRange>) -> Vec<AddressRange> {
    let mut kept = Vec::with_capacity(ranges.len());
    for range in ranges {
        if !kept.contains(&range) {
            kept.push(range);
        }
    }
    kept
}

/// An end that is still to come.
pub(super) fn expiry(end: Option<Timestamp>, now: Timestamp) -> Result<(), MintError> {
    match end {
        Some(end) if end <= now => Err(MintError::invalid_but(
            format!("the expiry {end} is in the past"),
            "to end a key now use `keygate key revoke`, or `key disable` to be able to undo it",
        )),
        _ => Ok(()),
    }
}

/// An interval between two rotations.
pub(super) fn interval(days: Option<u32>) -> Result<(), MintError> {
    match days {
        Some(days) if !(1..=MAX_INTERVAL_DAYS).contains(&days) => Err(MintError::invalid(format!(
            "a key is rotated every 1 to {MAX_INTERVAL_DAYS} days, not every {days}"
        ))),
        _ => Ok(()),
    }
}

/// Notes within their bounds.
pub(super) fn metadata(
    notes: &BTreeMap<String, String>,
    format: &SecretFormat,
) -> Result<(), MintError> {
    if notes.len() > MAX_NOTES {
        return Err(MintError::invalid(format!(
            "metadata has at most {MAX_NOTES} entries, here are {}",
            notes.len()
        )));
    }
    for (name, value) in notes {
        if name.is_empty()
            || name.chars().count() > MAX_NOTE_NAME
            || name.chars().any(char::is_control)
        {
            return Err(MintError::invalid(format!(
                "a metadata name has 1 to {MAX_NOTE_NAME} characters, none of them a control character"
            )));
        }
        if value.chars().count() > MAX_TEXT {
            return Err(MintError::invalid(format!(
                "the metadata value of `{name}` has more than {MAX_TEXT} characters"
            )));
        }
        no_secret(name, "a metadata name", format)?;
        no_secret(value, "a metadata value", format)?;
    }
    Ok(())
}

fn bundle<'a>(permission: &str, config: &'a Config) -> Result<&'a [String], MintError> {
    if let Some(scopes) = config.permissions.get(permission) {
        return Ok(scopes);
    }
    let known: Vec<&str> = config.permissions.keys().map(String::as_str).collect();
    let hint = if known.is_empty() {
        "the configuration defines none; they go under [permissions]".to_owned()
    } else {
        format!("known are {}", known.join(", "))
    };
    Err(MintError::invalid_but(format!("unknown permission `{permission}`"), hint))
}

fn known(scope: &str, config: &Config) -> Result<(), MintError> {
    no_secret(scope, "a scope", &config.keys.format)?;
    scope::check_grant(scope)
        .map_err(|error| MintError::invalid(format!("`{scope}` is no scope: {error}")))?;
    if config.scopes.knows(scope) {
        return Ok(());
    }
    let hint = match config.scopes.nearest(scope) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if config.scopes.entries().next().is_none() => {
            "the configuration names no scopes; they go under [scopes]".to_owned()
        }
        None => {
            let names: Vec<&str> = config.scopes.entries().map(|(name, _)| name).collect();
            format!("known are {}", names.join(", "))
        }
    };
    Err(MintError::invalid_but(format!("unknown scope `{scope}`"), hint))
}

/// Names and notes are shown, logged and passed on, so a secret must not slip into one.
pub(super) fn no_secret(text: &str, what: &str, format: &SecretFormat) -> Result<(), MintError> {
    let secret = |word: &str| format.parse(word.as_bytes()).is_some();
    if text.split(|c: char| c.is_whitespace() || c == ',' || c == '=').any(secret) {
        return Err(MintError::invalid_but(
            format!("{what} must not contain a secret"),
            "it may be in your shell's history now: rotate that key",
        ));
    }
    Ok(())
}
