//! A key as programs are shown it: by `--json` and by the admin API alike.
//!
//! The shape is the contract's (section 1, "JSON output"). No secret can be in it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::config::Keys;
use crate::domain::{
    AddressRange, Environment, KeyId, KeyStatus, KeyWithSecrets, Limit, Millionths, OwnerId,
    PublicId, Secret, SecretStatus,
};

/// A key at a moment. Times are RFC 3339 in UTC, money decimal strings.
#[derive(Clone, Debug, Serialize)]
pub struct KeyView<'a> {
    /// `key_…`.
    pub id: &'a KeyId,
    /// What people call it.
    pub name: &'a str,
    /// The owner's id.
    pub owner: &'a OwnerId,
    /// The key that made it.
    pub parent_id: Option<&'a KeyId>,
    /// `live` or `test`.
    pub environment: Environment,
    /// The record's own; a disabled owner or a revoked parent is not looked at.
    pub status: KeyStatus,
    /// Names, `prefix:*` or `*`.
    pub scopes: &'a [String],
    /// Its own; empty: the configuration's.
    pub limits: &'a [Limit],
    /// Empty: from anywhere.
    pub allowed_ips: &'a [AddressRange],
    /// `None`: without bound.
    pub monthly_budget: Option<Millionths>,
    /// In this calendar month.
    pub spent: Millionths,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it stops by itself.
    pub expires_at: Option<Timestamp>,
    /// When any of its secrets was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// The operator's notes.
    pub metadata: &'a BTreeMap<String, String>,
    /// Every secret it ever had, oldest first.
    pub secrets: Vec<SecretView<'a>>,
    /// When a new secret is due.
    pub rotation: RotationView,
}

/// One secret's record.
#[derive(Clone, Debug, Serialize)]
pub struct SecretView<'a> {
    /// Its eight public characters.
    pub id: PublicId,
    /// Prefix and public characters.
    pub hint: &'a str,
    /// When it was minted.
    pub created_at: Timestamp,
    /// The end of its grace.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// Active, grace, expired or revoked.
    pub status: SecretStatus,
}

/// When a key's newest live secret is to be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct RotationView {
    /// The key's own schedule.
    pub interval_days: Option<u32>,
    /// The newest live secret's making and the interval, or `keys.rotate_after` where the key has
    /// no schedule; `None` without a live secret.
    pub due_at: Option<Timestamp>,
    /// Past due; of a key with a schedule only once the grace to claim it is over too.
    pub overdue: bool,
}

impl<'a> KeyView<'a> {
    /// Shows a key as it stands at `now` under the operator's rotation policy, with what it has `spent`
    /// in the month of that.
    pub fn new(held: &'a KeyWithSecrets, policy: &Keys, spent: Millionths, now: Timestamp) -> Self {
        let key = &held.key;
        Self {
            id: &key.id,
            name: &key.name,
            owner: &key.owner_id,
            parent_id: key.parent_id.as_ref(),
            environment: key.environment,
            status: key.status(now),
            scopes: &key.scopes,
            limits: &key.limits,
            allowed_ips: &key.allowed_ips,
            monthly_budget: key.monthly_budget,
            spent,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: held.last_used_at(),
            metadata: &key.metadata,
            secrets: held.secrets.iter().map(|secret| SecretView::new(secret, now)).collect(),
            rotation: RotationView::new(held, policy, now),
        }
    }
}

impl<'a> SecretView<'a> {
    fn new(secret: &'a Secret, now: Timestamp) -> Self {
        Self {
            id: secret.id,
            hint: &secret.hint,
            created_at: secret.created_at,
            expires_at: secret.expires_at,
            last_used_at: secret.last_used_at,
            status: secret.status(now),
        }
    }
}

impl RotationView {
    fn new(held: &KeyWithSecrets, policy: &Keys, now: Timestamp) -> Self {
        let interval_days = held.key.rotation_interval_days;
        let interval = interval_days
            .map_or(policy.rotate_after, |days| Duration::from_hours(24 * u64::from(days)));
        let live = held.secrets.iter().filter(|secret| secret.is_live(now));
        let newest = live.map(|secret| secret.created_at).max();
        let due_at = newest.and_then(|made| made.checked_add(interval).ok());
        let grace = interval_days.map_or(Duration::ZERO, |_| policy.rotation_grace);
        let late_at = due_at.and_then(|due| due.checked_add(grace).ok());
        Self { interval_days, due_at, overdue: late_at.is_some_and(|late| late <= now) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Key;
    use crate::key::SecretFormat;
    use crate::key::hash::Argon2Strength;

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn policy() -> Keys {
        Keys {
            format: SecretFormat {
                live_prefix: "sk_".to_owned(),
                test_prefix: None,
                checksum: true,
            },
            headers: Vec::new(),
            rotation_grace: Duration::from_hours(7 * 24),
            rotate_after: Duration::from_hours(90 * 24),
            max_depth: 4,
            max_children: 1000,
            argon2: Argon2Strength::default(),
        }
    }

    /// A key whose secrets were made on these days, the older ones ending on day 100.
    fn key(made: &[i64], rotation_interval_days: Option<u32>) -> KeyWithSecrets {
        let owner = OwnerId::from_text("default");
        let key = Key {
            id: KeyId::from_text("key_1"),
            rotation_interval_days,
            ..Key::new("k".to_owned(), owner, Environment::Live, day(0))
        };
        let secret = |(place, made): (usize, &i64)| {
            let id = format!("AAAAAAA{place}").parse().unwrap();
            Secret::new(id, "sk_AAAAAAA0".to_owned(), String::new(), day(*made))
        };
        let mut secrets: Vec<Secret> = made.iter().enumerate().map(secret).collect();
        if let Some((_, older)) = secrets.split_last_mut() {
            for secret in older {
                secret.expires_at = Some(day(100));
            }
        }
        KeyWithSecrets { key, secrets }
    }

    fn rotation(held: &KeyWithSecrets, now: i64) -> (Option<Timestamp>, bool) {
        let RotationView { due_at, overdue, .. } = RotationView::new(held, &policy(), day(now));
        (due_at, overdue)
    }

    #[test]
    fn a_secret_is_due_when_the_newest_live_one_has_come_of_age() {
        assert_eq!(rotation(&key(&[0], None), 89), (Some(day(90)), false));
        assert_eq!(rotation(&key(&[0], None), 90), (Some(day(90)), true));
        assert_eq!(rotation(&key(&[0, 50], None), 90), (Some(day(140)), false));
    }

    #[test]
    fn a_key_with_a_schedule_is_overdue_once_the_grace_to_claim_is_over_too() {
        assert_eq!(rotation(&key(&[0], Some(30)), 36), (Some(day(30)), false));
        assert_eq!(rotation(&key(&[0], Some(30)), 37), (Some(day(30)), true));
    }

    #[test]
    fn without_a_live_secret_nothing_is_due() {
        let mut revoked = key(&[0], None);
        revoked.secrets[0].revoked_at = Some(day(1));
        assert_eq!(rotation(&revoked, 500), (None, false));
    }
}
