//! When a key's schedule asks for a new secret, and until when it may be claimed.
//!
//! One rule for everybody: what is shown, what is told, what is enforced.

use std::time::Duration;

use jiff::Timestamp;

use super::key::{Key, KeyWithSecrets, Secret};

/// The longest interval between two rotations.
pub const MAX_INTERVAL_DAYS: u32 = 3_650;

/// The two moments of a rotation that a schedule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotationDue {
    /// From here on a new secret is asked for.
    pub due_at: Timestamp,
    /// Until here it may be claimed; then the key is overdue.
    pub ends_at: Timestamp,
}

impl RotationDue {
    /// What a key's schedule says of its newest secret, made at `made`; `None` without a schedule.
    ///
    /// A schedule asks for nothing before it was set: so a secret that is older than its interval by
    /// then is due at once, and still has the whole grace.
    pub fn of(key: &Key, made: Timestamp, grace: Duration) -> Option<Self> {
        let interval = Duration::from_hours(24 * u64::from(key.rotation_interval_days?));
        let of_age = later(made, interval);
        let due_at = key.rotation_due_from.map_or(of_age, |from| of_age.max(from));
        Some(Self { due_at, ends_at: later(due_at, grace) })
    }
}

impl KeyWithSecrets {
    /// The secret that ends last, of those that were not ended for good: the newest one, unless it
    /// was revoked. If this one is over, all are.
    pub fn newest_secret(&self) -> Option<&Secret> {
        let kept = self.secrets.iter().filter(|secret| secret.revoked_at.is_none());
        kept.max_by_key(|secret| (secret.expires_at.unwrap_or(Timestamp::MAX), secret.created_at))
    }

    /// The rotation that the key's schedule asks for next; `None` without a schedule, or without a
    /// secret that is live at `now`.
    pub fn rotation_due(&self, grace: Duration, now: Timestamp) -> Option<RotationDue> {
        let newest = self.newest_secret().filter(|secret| secret.is_live(now))?;
        RotationDue::of(&self.key, newest.created_at, grace)
    }

    /// When the key's schedule asks for a new secret next.
    pub fn next_rotation_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.rotation_due(Duration::ZERO, now).map(|rotation| rotation.due_at)
    }
}

/// The time so much earlier; the first there is where that is before all time.
pub fn earlier(at: Timestamp, length: Duration) -> Timestamp {
    at.checked_sub(length).unwrap_or(Timestamp::MIN)
}

/// The time so much later; the last there is where that is after all time.
pub fn later(at: Timestamp, length: Duration) -> Timestamp {
    at.checked_add(length).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Environment, OwnerId};

    fn day(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    /// A key with secrets made on these days, each ending on its other day.
    fn held(interval: Option<u32>, secrets: &[(i64, Option<i64>)]) -> KeyWithSecrets {
        let owner = OwnerId::from_text("default");
        let key = Key {
            rotation_interval_days: interval,
            ..Key::new("k".to_owned(), owner, Environment::Live, day(0))
        };
        let secret = |(place, (made, ends)): (usize, &(i64, Option<i64>))| {
            let id = format!("AAAAAAA{place}").parse().unwrap();
            let secret = Secret::new(id, String::new(), String::new(), day(*made));
            Secret { expires_at: ends.map(day), ..secret }
        };
        KeyWithSecrets { key, secrets: secrets.iter().enumerate().map(secret).collect() }
    }

    fn days(held: &KeyWithSecrets, now: i64) -> Option<(i64, i64)> {
        let of = |at: Timestamp| at.as_second() / 86_400;
        let grace = Duration::from_hours(7 * 24);
        held.rotation_due(grace, day(now)).map(|due| (of(due.due_at), of(due.ends_at)))
    }

    #[test]
    fn it_is_due_when_the_newest_secret_comes_of_age_and_ends_a_grace_later() {
        assert_eq!(days(&held(Some(30), &[(0, None)]), 1), Some((30, 37)));
        assert_eq!(days(&held(Some(30), &[(0, Some(37)), (31, None)]), 32), Some((61, 68)));
        assert_eq!(days(&held(None, &[(0, None)]), 1), None);
    }

    #[test]
    fn an_older_secret_counts_again_when_the_newest_was_revoked() {
        let mut held = held(Some(30), &[(0, Some(37)), (31, None)]);
        held.secrets[1].revoked_at = Some(day(32));
        assert_eq!(days(&held, 33), Some((30, 37)));
        assert_eq!(days(&held, 37), None, "no secret is live");
    }

    #[test]
    fn nothing_is_due_before_the_schedule_was_set() {
        let mut held = held(Some(30), &[(0, None)]);
        held.key.rotation_due_from = Some(day(400));
        assert_eq!(days(&held, 400), Some((400, 407)));
        held.key.rotation_due_from = Some(day(10));
        assert_eq!(days(&held, 10), Some((30, 37)));
    }

    #[test]
    fn an_interval_past_all_time_is_never_over() {
        let far = held(Some(u32::MAX), &[(0, None)]);
        assert_eq!(far.next_rotation_at(day(1)), Some(Timestamp::MAX));
    }
}
