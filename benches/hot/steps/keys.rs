//! Whose secret it is.

use std::hint::black_box;
use std::sync::Arc;

use keygate::auth::Verified;
use keygate::auth::table::KeyTable;
use keygate::auth::verify::may_go_on;
use keygate::domain::{Environment, PublicId};
use keygate::key::hash::{Digest, DigestKey};

use super::{NOW, format, loaded, policy, secret};

/// From bytes to a public id, the checksum compared; of a thousand secrets in turn, since what one
/// takes depends on its digits.
pub fn parse() -> impl FnMut() -> Option<PublicId> {
    const SECRETS: usize = 1_000;
    let format = format();
    let secrets: Vec<String> = (0..SECRETS).map(|_| secret()).collect();
    let mut turn = 0;
    move || {
        turn = (turn + 1) % SECRETS;
        format.parse(black_box(secrets[turn].as_bytes())).map(|parsed| parsed.id)
    }
}

/// The keyed digest of a whole secret.
pub fn digest() -> impl FnMut() -> Digest {
    let (key, secret) = (DigestKey::random().unwrap(), secret());
    move || key.digest(black_box(secret.as_bytes()))
}

/// A known secret among ten thousand keys, each asked for in turn: digest, look-up, comparison.
pub fn hit() -> impl FnMut() -> bool {
    const KEYS: usize = 10_000;
    let digests = DigestKey::random().unwrap();
    let minted: Vec<_> =
        (0..KEYS).map(|_| format().mint(Environment::Live).unwrap().unwrap()).collect();
    let table = KeyTable::holding(minted.iter().map(|minted| loaded(minted.id)), &policy(), NOW);
    for minted in &minted {
        let digest = digests.digest(minted.text.expose().as_bytes());
        table.secret(minted.id).unwrap().confirm(digest);
    }
    let mut turn = 0;
    move || {
        turn = (turn + 1) % KEYS;
        let minted = &minted[turn];
        let entry = table.secret(minted.id).unwrap();
        let digest = digests.digest(minted.text.expose().as_bytes());
        entry.digest().is_some_and(|known| digest.matches(known))
    }
}

/// What a worker's sweep asks three times a second of each request under way: of ten thousand, each of
/// a key of its own, in no order.
pub fn look_at_streams() -> impl FnMut() -> usize {
    const STREAMS: usize = 10_000;
    let id = |n: usize| format!("{:08}", n * 7_919 % STREAMS).parse::<PublicId>().unwrap();
    let keys = (0..STREAMS).map(|n| loaded(format!("{n:08}").parse().unwrap()));
    let table = KeyTable::holding(keys, &policy(), NOW);
    let key = |id: PublicId| (Arc::clone(&table.secret(id).unwrap().key), id);
    let streams: Vec<_> = (0..STREAMS).map(|n| key(id(n))).collect();
    move || streams.iter().filter(|(key, id)| may_go_on(key, *id, black_box(NOW)).is_err()).count()
}

/// What every answer asks: whether the key's client should have a new secret. Without a schedule, or
/// with one.
pub fn rotate_by(scheduled: bool) -> impl FnMut() -> bool {
    let id: PublicId = "AAAAAAAA".parse().unwrap();
    let mut key = loaded(id);
    key.key.key.rotation_interval_days = scheduled.then_some(30);
    let table = KeyTable::holding([key], &policy(), NOW);
    let verified = Verified { secret: table.secret(id).unwrap() };
    let policy = policy();
    move || verified.rotate_by(black_box(&policy), || black_box(0)).is_some()
}

/// What every request of a minute but the first does to note its use.
pub fn note_a_use() -> impl FnMut() {
    let id: PublicId = "AAAAAAAA".parse().unwrap();
    let table = KeyTable::holding([loaded(id)], &policy(), NOW);
    let secret = table.secret(id).unwrap();
    let client = [192, 0, 2, 1].into();
    move || secret.used(black_box(90_000), black_box(client))
}
