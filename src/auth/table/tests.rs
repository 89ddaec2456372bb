use super::*;
use crate::domain::KeyWithSecrets;

fn policy() -> KeyPolicy {
    KeyPolicy {
        generation: 1,
        catalogue: Catalogue::default(),
        per_key: Vec::new(),
        test_keys_count: false,
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
        table.secret(public_id(number)).unwrap().used(60_000);
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
