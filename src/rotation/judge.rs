//! What is told of a key ahead of time, and when: a pure function over the key as it stands.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Terms;
use crate::domain::rotation::{earlier, later};
use crate::domain::{Event, EventKind, Key, KeyStatus, RotationDue};
use crate::store::Loaded;
use crate::store::schedule::{Look, Telling};

const DAY: Duration = Duration::from_hours(24);
/// A rotation that is due is looked at again after so long at most, whatever lies ahead of it: the
/// grace may have been set anew.
const WHILE_DUE: Duration = Duration::from_hours(1);

/// Something that is told when its moment has come.
struct Stage {
    at: Timestamp,
    kind: &'static str,
}

/// What is to be told of a key at `now`, and when to look again: always later than `now`.
///
/// Of the stages that are reached the last one is told, and only that: an instance that comes late
/// doesn't catch up with reminders one by one. Only living keys are told of; when one lives again, the
/// store has it looked at.
pub fn judge(loaded: &Loaded, terms: &Terms, now: Timestamp) -> Look {
    let key = &loaded.key.key;
    if key.status(now) != KeyStatus::Active || loaded.owner.disabled {
        return Look::default();
    }
    let mut look = expiring(key, now);
    if let Some(due) = loaded.key.rotation_due(terms.grace, now) {
        let rotation = rotation(key, due, terms, now);
        look.tell.extend(rotation.tell);
        look.again = [look.again, rotation.again].into_iter().flatten().min();
    }
    look
}

/// Seven days and one day ahead, unless the whole life of the key is not longer than that.
fn expiring(key: &Key, now: Timestamp) -> Look {
    let Some(ends) = key.expires_at else { return Look::default() };
    let ahead = |days: u32, kind| Stage { at: earlier(ends, DAY * days), kind };
    let stages = [ahead(7, "expiring.7d"), ahead(1, "expiring.1d")];
    let stages: Vec<_> = stages.into_iter().filter(|stage| stage.at > key.created_at).collect();
    let tell = last_reached(&stages, now).map(|stage| {
        let days = if stage.kind == "expiring.7d" { 7 } else { 1 };
        let more = json!({ "expires_at": ends, "days": days });
        Telling {
            kind: stage.kind,
            about: ends,
            event: event(EventKind::KeyExpiring, key, more, now),
        }
    });
    Look { tell: tell.into_iter().collect(), again: next(&stages, now) }
}

/// When it is due, at half and at nine tenths of the grace, and at its end.
fn rotation(key: &Key, due: RotationDue, terms: &Terms, now: Timestamp) -> Look {
    let RotationDue { due_at, ends_at } = due;
    let stages = [
        Stage { at: due_at, kind: "rotation.due" },
        Stage { at: later(due_at, terms.grace / 2), kind: "rotation.half" },
        Stage { at: later(due_at, terms.grace / 10 * 9), kind: "rotation.last" },
        Stage { at: ends_at, kind: "rotation.overdue" },
    ];
    let tell = last_reached(&stages, now).map(|stage| {
        let overdue = ends_at <= now;
        let can_claim = !(overdue && terms.enforced);
        let claim = terms.claim.as_ref().filter(|_| can_claim);
        let more = json!({
            "due_at": due_at,
            "ends_at": ends_at,
            "claim": claim.map(|path| json!({ "method": "POST", "path": path })),
            "reminder": stages.iter().position(|other| other.kind == stage.kind),
            "overdue": overdue,
            "enforced": terms.enforced,
        });
        let event = event(EventKind::KeyRotationDue, key, more, now);
        Telling { kind: stage.kind, about: due_at, event }
    });
    let soon = (due_at <= now).then(|| later(now, WHILE_DUE));
    let again = next(&stages, now).map(|next| soon.map_or(next, |soon| next.min(soon)));
    Look { tell: tell.into_iter().collect(), again }
}

fn last_reached(stages: &[Stage], now: Timestamp) -> Option<&Stage> {
    stages.iter().rev().find(|stage| stage.at <= now)
}

fn next(stages: &[Stage], now: Timestamp) -> Option<Timestamp> {
    stages.iter().map(|stage| stage.at).find(|at| *at > now)
}

fn event(kind: EventKind, key: &Key, more: Value, now: Timestamp) -> Event {
    let mut data = json!({ "name": key.name });
    if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
        data.extend(more);
    }
    Event::of_key(kind, &key.id, &key.owner_id, data, now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Environment, KeyWithSecrets, Owner, OwnerId, Secret};

    const DAY_S: i64 = 86_400;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn terms(grace_days: u32, enforced: bool) -> Terms {
        Terms {
            grace: DAY * grace_days,
            enforced,
            claim: Some("/v1/api-keys/rotate".to_owned()),
            unusual_usage: false,
        }
    }

    /// A key of which key and secret were made at the epoch.
    fn loaded(interval: Option<u32>, expires: Option<i64>) -> Loaded {
        let owner = Owner::new(OwnerId::from_text("default"), "default".to_owned(), second(0));
        let key = Key {
            rotation_interval_days: interval,
            expires_at: expires.map(second),
            ..Key::new("ci".to_owned(), owner.id.clone(), Environment::Live, second(0))
        };
        let id = "AAAAAAAA".parse().unwrap();
        let secret = Secret::new(id, String::new(), String::new(), second(0));
        Loaded { key: KeyWithSecrets { key, secrets: vec![secret] }, owner }
    }

    /// What is told at that second, and the second to look again.
    fn told(loaded: &Loaded, terms: &Terms, now: i64) -> (Vec<&'static str>, Option<i64>) {
        let Look { tell, again } = judge(loaded, terms, second(now));
        (tell.iter().map(|telling| telling.kind).collect(), again.map(Timestamp::as_second))
    }

    #[test]
    fn a_rotation_is_told_when_due_then_reminded_of_and_told_once_more_at_its_end() {
        let (key, terms) = (loaded(Some(30), None), terms(10, false));
        let due = 30 * DAY_S;
        assert_eq!(told(&key, &terms, due - 1), (vec![], Some(due)));
        for (day, kind) in [(0, "rotation.due"), (5, "rotation.half"), (9, "rotation.last")] {
            let at = due + day * DAY_S;
            assert_eq!(told(&key, &terms, at), (vec![kind], Some(at + 3_600)));
        }
        let ends = due + 10 * DAY_S;
        assert_eq!(told(&key, &terms, ends - 1), (vec!["rotation.last"], Some(ends)));
        assert_eq!(told(&key, &terms, ends), (vec!["rotation.overdue"], None));
    }

    #[test]
    fn the_claim_is_named_while_it_can_be_made() {
        let key = loaded(Some(30), None);
        let data = |terms: &Terms, now| judge(&key, terms, second(now)).tell[0].event.data.clone();
        let (due, ends) = (30 * DAY_S, 40 * DAY_S);
        let first = data(&terms(10, true), due);
        assert_eq!(
            first,
            json!({
                "key_id": key.key.key.id, "owner": "default", "name": "ci",
                "due_at": "1970-01-31T00:00:00Z", "ends_at": "1970-02-10T00:00:00Z",
                "claim": { "method": "POST", "path": "/v1/api-keys/rotate" },
                "reminder": 0, "overdue": false, "enforced": true,
            })
        );
        let late = data(&terms(10, true), ends);
        assert_eq!((&late["overdue"], &late["claim"]), (&true.into(), &Value::Null));
        let claimable = data(&terms(10, false), ends);
        assert_eq!(claimable["claim"]["method"], "POST");
        let by_command = Terms { claim: None, ..terms(10, false) };
        assert_eq!(data(&by_command, due)["claim"], Value::Null);
    }

    #[test]
    fn an_end_is_told_seven_days_and_one_day_ahead_of_keys_that_live_longer() {
        let terms = terms(7, false);
        let end = 30 * DAY_S;
        let key = loaded(None, Some(end));
        let (week, day) = (end - 7 * DAY_S, end - DAY_S);
        assert_eq!(told(&key, &terms, week - 1), (vec![], Some(week)));
        assert_eq!(told(&key, &terms, week), (vec!["expiring.7d"], Some(day)));
        assert_eq!(told(&key, &terms, day), (vec!["expiring.1d"], None));
        assert_eq!(told(&key, &terms, end), (vec![], None), "it is no living key any more");
        let two_days = loaded(None, Some(2 * DAY_S));
        assert_eq!(told(&two_days, &terms, 0), (vec![], Some(DAY_S)));
        assert_eq!(told(&two_days, &terms, DAY_S), (vec!["expiring.1d"], None));
        assert_eq!(told(&loaded(None, Some(DAY_S)), &terms, 1), (vec![], None));
    }

    #[test]
    fn only_living_keys_are_told_of() {
        let terms = terms(7, false);
        let due = 30 * DAY_S;
        let silent = |change: fn(&mut Loaded)| {
            let mut key = loaded(Some(30), Some(due + DAY_S));
            change(&mut key);
            assert_eq!(judge(&key, &terms, second(due)), Look::default());
        };
        silent(|loaded| loaded.key.key.disabled = true);
        silent(|loaded| loaded.key.key.revoked_at = Some(second(1)));
        silent(|loaded| loaded.key.key.expires_at = Some(second(1)));
        silent(|loaded| loaded.owner.disabled = true);
        let mut without = loaded(Some(30), None);
        without.key.secrets[0].revoked_at = Some(second(1));
        assert_eq!(judge(&without, &terms, second(due)), Look::default());
        assert_eq!(judge(&loaded(Some(30), None), &terms, second(due)).tell.len(), 1);
    }

    proptest! {
        #[test]
        fn the_next_look_is_always_later(
            interval in proptest::option::of(1_u32..4_000),
            expires in proptest::option::of(0_i64..400_000_000),
            grace in 0_u32..100,
            now in 0_i64..400_000_000,
        ) {
            let look = judge(&loaded(interval, expires), &terms(grace, true), second(now));
            prop_assert!(look.again.is_none_or(|again| again > second(now)));
            prop_assert!(look.tell.len() <= 2);
        }
    }
}
