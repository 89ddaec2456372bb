//! Many keys at once, written to the store by the library, and secrets that are no key's.

use std::sync::Arc;
use std::thread;

use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use keygate::config::StoreLocation;
use keygate::domain::{Act, Environment, Key, Owner, OwnerId, Secret};
use keygate::key::hash::Argon2Strength;
use keygate::key::{SecretFormat, SecretText};
use keygate::store::{self, Store};

use super::{MintedKey, TestStore, block_on};

/// A hash that costs next to nothing.
pub(crate) const WEAK: Argon2Strength =
    Argon2Strength { memory_kib: 64, iterations: 1, parallelism: 1 };
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Characters of a secret's checksum.
const CHECKSUM: usize = 6;
/// Keys that are written at once.
const AT_ONCE: usize = 8;

/// Writes so many keys with the scope `agents:read` and weak hashes to a migrated store, each
/// changed by `alter` as its place asks for.
pub(crate) fn insert(
    to: &TestStore,
    count: usize,
    alter: impl Fn(usize, &mut Key) + Sync,
) -> Vec<MintedKey> {
    insert_hashed(to, count, WEAK, alter)
}

/// The same with hashes of that strength, made on all cores.
pub(crate) fn insert_hashed(
    to: &TestStore,
    count: usize,
    strength: Argon2Strength,
    alter: impl Fn(usize, &mut Key) + Sync,
) -> Vec<MintedKey> {
    let made = make_all(count, strength, &alter);
    block_on(async {
        let store = open(to).await;
        let write = async |(key, secret, _): &(Key, Secret, SecretText)| {
            store
                .create_key(&Act::own(Timestamp::UNIX_EPOCH), key, secret)
                .await
                .expect("a key is written");
        };
        stream::iter(&made).map(write).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    });
    made.into_iter()
        .map(|(key, _, text)| MintedKey::known(key.id.as_str(), text.expose()))
        .collect()
}

/// Writes an owner that is disabled.
pub(crate) fn disabled_owner(to: &TestStore, id: &str) {
    let owner = Owner {
        id: OwnerId::from_text(id),
        name: id.to_owned(),
        disabled: true,
        credit_changes: 0,
        created_at: made_at(),
    };
    block_on(async {
        open(to)
            .await
            .create_owner(&Act::own(Timestamp::UNIX_EPOCH), &owner)
            .await
            .expect("an owner is written");
    });
}

/// A well-formed secret that no key has.
pub(crate) fn unknown_secret() -> SecretText {
    mint(Environment::Live).text
}

/// Another well-formed string under the public id of a secret, with a right checksum.
pub(crate) fn wrong_secret(secret: &str, number: usize) -> String {
    let random = secret.len() - CHECKSUM - 24;
    let text = format!("{}{number:024}", &secret[..random]);
    let checksum = checksum(&text);
    text + &checksum
}

/// CRC-32 in base62, as the contract has it, by hand.
fn checksum(text: &str) -> String {
    let mut crc = crc32fast::hash(text.as_bytes()) as usize;
    let mut digits = Vec::new();
    for _ in 0..CHECKSUM {
        digits.push(char::from(ALPHABET[crc % 62]));
        crc /= 62;
    }
    digits.into_iter().rev().collect()
}

/// The store by the library.
pub(crate) async fn open(to: &TestStore) -> Arc<dyn Store> {
    let url = to.url();
    let location = match url.strip_prefix("sqlite://") {
        Some(path) => StoreLocation::Sqlite(path.into()),
        None => StoreLocation::Postgres(url),
    };
    store::open(&location).await.expect("the store is in reach")
}

fn make_all(
    count: usize,
    strength: Argon2Strength,
    alter: &(impl Fn(usize, &mut Key) + Sync),
) -> Vec<(Key, Secret, SecretText)> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let places: Vec<usize> = (0..count).collect();
    thread::scope(|scope| {
        let shares = places.chunks(count.div_ceil(cores).max(1));
        let make_share = |share: &'_ [usize]| -> Vec<_> {
            share.iter().map(|place| make(*place, strength, alter)).collect()
        };
        let makers: Vec<_> = shares.map(|share| scope.spawn(move || make_share(share))).collect();
        makers.into_iter().flat_map(|maker| maker.join().expect("no hash fails")).collect()
    })
}

/// A key with its first secret, not written anywhere yet.
pub(crate) fn make(
    place: usize,
    strength: Argon2Strength,
    alter: &impl Fn(usize, &mut Key),
) -> (Key, Secret, SecretText) {
    let owner = OwnerId::from_text("default");
    let mut key = Key {
        scopes: vec!["agents:read".to_owned()],
        ..Key::new(format!("key {place}"), owner, Environment::Live, made_at())
    };
    alter(place, &mut key);
    let minted = mint(key.environment);
    let phc = strength.hash(&minted.text).expect("the strength is one");
    let secret = Secret::new(minted.id, minted.hint, phc, made_at());
    (key, secret, minted.text)
}

fn mint(environment: Environment) -> keygate::key::format::Minted {
    let format = SecretFormat {
        live_prefix: "sk_live_".to_owned(),
        test_prefix: Some("sk_test_".to_owned()),
        checksum: true,
    };
    format.mint(environment).expect("there is randomness").expect("both environments have a prefix")
}

fn made_at() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("a time after 1970")
}
