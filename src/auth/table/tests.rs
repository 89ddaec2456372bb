use std::net::IpAddr;

use jiff::Timestamp;

use super::super::verify::may_go_on;
use super::*;
use crate::domain::{Environment, Key, KeyWithSecrets, Reason};

fn policy() -> KeyPolicy {
    KeyPolicy {
        generation: 1,
        catalogue: Catalogue::default(),
        per_key: Arc::default(),
        test_keys_count: false,
        rotation_grace: Duration::ZERO,
        enforce_rotation: false,
    }
}

fn at_minute(minute: i64) -> Moment {
    Moment { monotonic_ms: 0, wall_ms: minute * 60_000 }
}

fn public_id(number: usize) -> PublicId {
    format!("{number:08}").parse().unwrap()
}

/// A key with one secret, both of that number.
fn loaded(number: usize, phc: &str) -> Loaded {
    let now = Timestamp::UNIX_EPOCH;
    let owner = Owner::new(OwnerId::from_text("default"), "default".to_owned(), now);
    let key = Key {
        id: KeyId::from_text(format!("key_{number}")),
        ..Key::new("test".to_owned(), owner.id.clone(), Environment::Live, now)
    };
    let secret = Secret::new(public_id(number), String::new(), phc.to_owned(), now);
    Loaded { key: KeyWithSecrets { key, secrets: vec![secret] }, owner }
}

#[test]
fn a_full_table_lets_go_of_what_was_used_least_recently_and_never_of_what_was_just_read() {
    let table = KeyTable::holding((0..4).map(|n| loaded(n, "a")), &policy(), at_minute(0));
    for number in [0, 2, 3] {
        table.secret(public_id(number)).unwrap().used(60_000, [192, 0, 2, 1].into());
    }
    table.put(loaded(4, "a"), None, &policy(), at_minute(1));
    table.evict_beyond(4, &[public_id(4)]);
    assert!(table.secret(public_id(1)).is_none(), "it was never used");
    assert!(table.secret(public_id(4)).is_some(), "it was just asked for");
    table.evict_beyond(1, &[public_id(4)]);
    assert_eq!(table.len(), 1);
    assert!(table.secret(public_id(4)).is_some());
    assert!(table.exists(public_id(1)), "its id is still known to exist");
}

#[test]
fn a_confirmed_digest_outlives_a_change_of_the_record_but_not_of_the_hash() {
    let digest = crate::key::hash::DigestKey::random().unwrap().digest(b"secret");
    let table = KeyTable::holding([loaded(0, "a")], &policy(), at_minute(0));
    table.secret(public_id(0)).unwrap().confirm(digest);
    let mut changed = loaded(0, "a");
    changed.key.key.disabled = true;
    table.put(changed, None, &policy(), at_minute(0));
    assert!(table.secret(public_id(0)).unwrap().digest().is_some());
    table.put(loaded(0, "b"), None, &policy(), at_minute(0));
    assert!(table.secret(public_id(0)).unwrap().digest().is_none());
}

#[test]
fn a_confirmation_that_is_under_way_when_the_row_is_read_again_is_not_lost() {
    let digest = crate::key::hash::DigestKey::random().unwrap().digest(b"secret");
    let table = KeyTable::holding([loaded(0, "a")], &policy(), at_minute(0));
    let under_way = table.secret(public_id(0)).unwrap();
    table.put(loaded(0, "a"), None, &policy(), at_minute(1));
    under_way.confirm(digest);
    assert!(table.secret(public_id(0)).unwrap().digest().is_some());
}

#[test]
fn what_a_key_has_counted_outlives_every_change_of_its_record() {
    let limit: Limit = "2/min".parse().unwrap();
    let table = KeyTable::holding([loaded(0, "a")], &policy(), at_minute(0));
    let take = |table: &KeyTable| {
        table.secret(public_id(0)).unwrap().key.counters.take(&[limit], None, 0).is_ok()
    };
    assert!(take(&table));
    let mut changed = loaded(0, "b");
    changed.key.key.scopes = vec!["*".to_owned()];
    table.put(changed, None, &policy(), at_minute(0));
    assert!(take(&table));
    assert!(!take(&table));
}

#[test]
fn an_end_that_was_reached_stays_reached_when_the_clock_jumps_back() {
    let expiry = Expiry::new(Some(1_000));
    assert!(!expiry.is_over(999));
    assert!(expiry.is_over(1_000));
    assert!(expiry.is_over(0));
    assert!(!Expiry::new(None).is_over(i64::MAX));
}

#[test]
fn an_end_that_was_reached_stays_reached_when_its_row_is_read_or_compiled_again() {
    let end = Timestamp::from_second(60).ok();
    let ending = || {
        let mut ending = loaded(0, "a");
        (ending.key.key.expires_at, ending.key.secrets[0].expires_at) = (end, end);
        ending
    };
    let table = KeyTable::holding([ending()], &policy(), at_minute(0));
    let are_over = |minute: i64, policy: &KeyPolicy| {
        let (secret, wall_ms) = (table.secret(public_id(0)).unwrap(), minute * 60_000);
        let record = secret.key.record(policy);
        let listed = record.end_of(secret.id).unwrap();
        [&record.expiry, &secret.end.expiry, &listed.expiry].map(|expiry| expiry.is_over(wall_ms))
    };
    assert_eq!(are_over(0, &policy()), [false; 3]);
    assert_eq!(are_over(1, &policy()), [true; 3]);
    table.put(ending(), None, &policy(), at_minute(0));
    assert_eq!(are_over(0, &policy()), [true; 3]);
    assert_eq!(are_over(0, &KeyPolicy { generation: 2, ..policy() }), [true; 3]);
    let mut later = ending();
    later.key.key.expires_at = Timestamp::from_second(61).ok();
    table.put(later, None, &policy(), at_minute(0));
    assert_eq!(are_over(0, &policy()), [false, true, true], "another end is not reached");
}

#[test]
fn a_switched_owner_is_switched_for_all_its_keys() {
    let table = KeyTable::holding((0..3).map(|n| loaded(n, "a")), &policy(), at_minute(0));
    let mut owner = loaded(0, "a").owner;
    owner.disabled = true;
    table.put_owner(&owner);
    for number in 0..3 {
        let secret = table.secret(public_id(number)).unwrap();
        assert!(secret.key.record(&policy()).owner.is_disabled());
    }
}

#[test]
fn keys_without_secrets_go_but_those_of_requests_under_way_stay_and_are_told() {
    const KEYS: usize = 1_000;
    let table = KeyTable::holding((0..KEYS).map(|n| loaded(n, "a")), &policy(), at_minute(0));
    let under_way = Arc::clone(&table.secret(public_id(7)).unwrap().key);
    table.evict_beyond(1, &[public_id(8)]);
    assert!(table.secret(public_id(7)).is_none());
    assert!(table.keys.len() < KEYS / 5, "{} keys are left", table.keys.len());
    let mut changed = loaded(7, "a");
    changed.key.key.disabled = true;
    table.put(changed, None, &policy(), at_minute(1));
    assert!(under_way.row().key.disabled, "the change reaches the request");
    assert!(Arc::ptr_eq(&under_way, &table.secret(public_id(7)).unwrap().key));
}

#[test]
fn a_key_that_is_taken_out_is_so_for_whoever_holds_it_and_for_its_children_until_they_are_read_again()
 {
    let policy = policy();
    let table = KeyTable::holding([loaded(0, "a")], &policy, at_minute(0));
    let put_child = || {
        let mut child = loaded(1, "a");
        child.key.key.parent_id = Some(KeyId::from_text("key_0"));
        let parent = table.key(&KeyId::from_text("key_0"));
        table.put(child, parent, &policy, at_minute(0));
        Arc::clone(&table.secret(public_id(1)).unwrap().key)
    };
    let child = put_child();
    let parent = Arc::clone(child.parent.as_ref().unwrap());
    table.remove_key(&parent.id);
    assert!(parent.is_removed() && !child.is_removed());
    table.put(loaded(0, "a"), None, &policy, at_minute(0));
    let again = put_child();
    assert!(child.is_removed(), "no change would reach it");
    assert!(!again.is_removed() && !again.parent.as_ref().unwrap().is_removed());
    assert!(Arc::ptr_eq(&again, &put_child()), "it is the same from then on");
}

/// A request by the first secret of a key with two and a parent, whose owner is of another key's too,
/// once something has happened.
fn goes_on(happens: impl FnOnce(&KeyTable, Loaded, Loaded)) -> Result<(), Reason> {
    let (parent, mut child) = (loaded(0, "a"), loaded(1, "a"));
    child.key.key.parent_id = Some(parent.key.key.id.clone());
    child.key.secrets.extend(loaded(2, "a").key.secrets);
    let table = KeyTable::holding([parent.clone(), child.clone()], &policy(), at_minute(5));
    let key = Arc::clone(&table.secret(public_id(1)).unwrap().key);
    assert_eq!(may_go_on(&key, public_id(1), at_minute(5)), Ok(()));
    happens(&table, parent, child);
    may_go_on(&key, public_id(1), at_minute(5))
}

/// The same once the child's row has changed.
fn goes_on_as(change: impl FnOnce(&mut KeyWithSecrets)) -> Result<(), Reason> {
    goes_on(|table, parent, mut child| {
        change(&mut child.key);
        table.put(child, table.key(&parent.key.key.id), &policy(), at_minute(5));
    })
}

/// The same once its parent's row has changed.
fn goes_on_under(change: impl FnOnce(&mut Key)) -> Result<(), Reason> {
    goes_on(|table, mut parent, _| {
        change(&mut parent.key.key);
        table.put(parent, None, &policy(), at_minute(5));
    })
}

#[test]
fn a_request_goes_on_until_its_key_its_secret_an_ancestor_or_its_owner_ends() {
    let (soon, past) = (Timestamp::from_second(301).ok(), Timestamp::from_second(300).ok());
    for (secret, expected) in [(0, Err(Reason::RevokedKey)), (1, Ok(()))] {
        assert_eq!(goes_on_as(|held| held.secrets[secret].revoked_at = past), expected);
    }
    assert_eq!(goes_on_as(|held| held.secrets[0].expires_at = soon), Ok(()));
    assert_eq!(goes_on_as(|held| held.secrets[0].expires_at = past), Err(Reason::ExpiredKey));
    assert_eq!(goes_on_as(|held| drop(held.secrets.remove(0))), Err(Reason::InvalidKey));
    assert_eq!(goes_on_as(|held| drop(held.secrets.remove(1))), Ok(()));
    assert_eq!(goes_on_as(|held| held.key.disabled = true), Err(Reason::DisabledKey));
    assert_eq!(goes_on_as(|held| held.key.revoked_at = past), Err(Reason::RevokedKey));
    assert_eq!(goes_on_as(|held| held.key.expires_at = soon), Ok(()));
    assert_eq!(goes_on_as(|held| held.key.expires_at = past), Err(Reason::ExpiredKey));
    assert_eq!(goes_on_under(|parent| parent.disabled = true), Err(Reason::RevokedKey));
    assert_eq!(goes_on_under(|parent| parent.revoked_at = past), Err(Reason::RevokedKey));
    assert_eq!(goes_on_under(|parent| parent.expires_at = soon), Ok(()));
    assert_eq!(goes_on_under(|parent| parent.expires_at = past), Err(Reason::RevokedKey));
    let removed = |place: usize| {
        goes_on(|table, parent, child| table.remove_key(&[parent, child][place].key.key.id))
    };
    assert_eq!((removed(0), removed(1)), (Err(Reason::RevokedKey), Err(Reason::InvalidKey)));
    let switched = goes_on(|table, mut parent, _| {
        parent.owner.disabled = true;
        table.put_owner(&parent.owner);
    });
    assert_eq!(switched, Err(Reason::OwnerDisabled));
}

const DAY_MINUTES: i64 = 24 * 60;

fn enforced() -> KeyPolicy {
    let grace = Duration::from_hours(2 * 24);
    KeyPolicy { enforce_rotation: true, rotation_grace: grace, ..policy() }
}

/// A key whose first secret is as old as the epoch and is rotated every ten days.
fn scheduled(number: usize) -> Loaded {
    let mut scheduled = loaded(number, "a");
    scheduled.key.key.rotation_interval_days = Some(10);
    scheduled
}

#[test]
fn a_request_goes_on_until_an_enforced_rotation_is_over_and_again_once_there_is_a_new_secret() {
    let table = KeyTable::holding([scheduled(0)], &enforced(), at_minute(0));
    let key = Arc::clone(&table.secret(public_id(0)).unwrap().key);
    let goes_on = |minute| may_go_on(&key, public_id(0), at_minute(minute));
    assert_eq!(goes_on(12 * DAY_MINUTES - 1), Ok(()));
    assert_eq!(goes_on(12 * DAY_MINUTES), Err(Reason::ExpiredKey));
    assert_eq!(goes_on(0), Err(Reason::ExpiredKey), "a clock that jumps back revives nothing");
    table.put(scheduled(0), None, &enforced(), at_minute(0));
    assert_eq!(goes_on(0), Err(Reason::ExpiredKey), "nor does a fresh reading");
    let mut rotated = scheduled(0);
    let made = Timestamp::from_second(12 * 86_400).unwrap();
    rotated.key.secrets.push(Secret::new(public_id(1), String::new(), "b".to_owned(), made));
    rotated.key.secrets[0].expires_at = Timestamp::from_second(13 * 86_400).ok();
    table.put(rotated, None, &enforced(), at_minute(0));
    assert_eq!(goes_on(12 * DAY_MINUTES), Ok(()));
    assert_eq!(goes_on(13 * DAY_MINUTES), Err(Reason::ExpiredKey));
    assert_eq!(may_go_on(&key, public_id(1), at_minute(24 * DAY_MINUTES - 1)), Ok(()));
    assert_eq!(may_go_on(&key, public_id(1), at_minute(24 * DAY_MINUTES)), Err(Reason::ExpiredKey));
}

#[test]
fn a_key_whose_enforced_rotation_is_over_takes_its_children_along() {
    let mut child = loaded(1, "a");
    child.key.key.parent_id = Some(scheduled(0).key.key.id);
    let table = KeyTable::holding([scheduled(0), child], &enforced(), at_minute(0));
    let child = Arc::clone(&table.secret(public_id(1)).unwrap().key);
    let goes_on = |minute| may_go_on(&child, public_id(1), at_minute(minute));
    assert_eq!(goes_on(12 * DAY_MINUTES - 1), Ok(()));
    assert_eq!(goes_on(12 * DAY_MINUTES), Err(Reason::RevokedKey));
}

#[test]
fn an_enforced_rotation_stops_no_key_without_a_schedule_and_none_where_it_is_not_enforced() {
    let mild = KeyPolicy { enforce_rotation: false, ..enforced() };
    for (key, policy) in [(loaded(0, "a"), enforced()), (scheduled(0), mild)] {
        let table = KeyTable::holding([key], &policy, at_minute(0));
        let key = Arc::clone(&table.secret(public_id(0)).unwrap().key);
        assert_eq!(may_go_on(&key, public_id(0), at_minute(10_000 * DAY_MINUTES)), Ok(()));
    }
}

#[test]
fn a_reload_puts_another_grace_in_force() {
    let table = KeyTable::holding([scheduled(0)], &enforced(), at_minute(0));
    let secret = table.secret(public_id(0)).unwrap();
    let verified = super::super::Verified { secret };
    let ends = |policy: &KeyPolicy, minute: i64| {
        verified.rotate_by(policy, || minute * 60_000).map(|by| (by.ends_ms / 86_400_000, by.stops))
    };
    assert_eq!(ends(&enforced(), 10 * DAY_MINUTES - 1), None);
    assert_eq!(ends(&enforced(), 10 * DAY_MINUTES), Some((12, true)));
    let grace = Duration::from_hours(3 * 24);
    let other = KeyPolicy { generation: 2, rotation_grace: grace, ..policy() };
    assert_eq!(ends(&other, 10 * DAY_MINUTES), Some((13, false)));
}

#[test]
fn the_address_of_a_minutes_first_use_is_noted_with_it_and_outlives_a_fresh_reading() {
    let table = KeyTable::holding([loaded(0, "a")], &policy(), at_minute(0));
    let note = |minute: i64, from: &str| {
        table.secret(public_id(0)).unwrap().used(minute * 60_000, from.parse().unwrap());
    };
    let taken = || {
        let uses = table.take_uses();
        assert!(uses.iter().all(|used| used.secret == public_id(0)));
        uses.into_iter().map(|used| (used.at.as_second() / 60, used.from.unwrap().to_string()))
    };
    assert_eq!(taken().count(), 0);
    note(7, "192.0.2.1");
    note(7, "192.0.2.2");
    table.put(loaded(0, "a"), None, &policy(), at_minute(7));
    assert_eq!(taken().collect::<Vec<_>>(), [(7, "192.0.2.1".to_owned())]);
    assert_eq!(taken().count(), 0, "it was taken");
    note(8, "2001:db8::1");
    let uses = table.take_uses();
    table.put_back_uses(&uses);
    assert_eq!(taken().collect::<Vec<_>>(), [(8, "2001:db8::1".to_owned())]);
}

#[test]
fn a_use_waits_for_nobody_and_the_next_one_makes_up_for_it() {
    let table = KeyTable::holding([loaded(0, "a")], &policy(), at_minute(0));
    let secret = table.secret(public_id(0)).unwrap();
    let address: IpAddr = [192, 0, 2, 1].into();
    let busy = secret.known.used_from.lock().unwrap();
    secret.used(60_000, address);
    drop(busy);
    assert!(table.take_uses().is_empty());
    secret.used(60_000, address);
    assert_eq!(table.take_uses()[0].from, Some(address));
}

#[test]
fn a_narrower_key_lets_its_requests_go_on() {
    let narrowed = goes_on_as(|held| {
        held.key.scopes = Vec::new();
        held.key.allowed_ips = vec!["203.0.113.7".parse().unwrap()];
        held.key.limits = vec!["1/day".parse().unwrap()];
    });
    assert_eq!(narrowed, Ok(()));
}
