//! The steps that every request takes, set up so that each can be taken again and again: timed by
//! `benches/hot`, counted in instructions by `benches/instructions`.
//!
//! A function sets one step up and gives what takes it. What it stands on lives in that closure.

#![allow(dead_code, reason = "not every step is worth both")]
#![expect(clippy::unwrap_used, reason = "what does not set up cannot be measured")]

pub mod books;
pub mod keys;
pub mod rights;
pub mod way;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use keygate::auth::table::{KeyPolicy, Moment};
use keygate::domain::{
    Catalogue, Environment, Key, KeyWithSecrets, Owner, OwnerId, PublicId, Secret,
};
use keygate::key::SecretFormat;
use keygate::store::Loaded;

/// When everything happens.
const NOW: Moment = Moment { monotonic_ms: 0, wall_ms: 0 };

fn format() -> SecretFormat {
    SecretFormat {
        live_prefix: "sk_live_".to_owned(),
        test_prefix: Some("sk_test_".to_owned()),
        checksum: true,
    }
}

fn secret() -> String {
    let minted = format().mint(Environment::Live).unwrap().unwrap();
    minted.text.expose().to_owned()
}

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

/// A key with one secret, as the store gives it.
fn loaded(secret: PublicId) -> Loaded {
    let now = Timestamp::UNIX_EPOCH;
    let owner = Owner::new(OwnerId::from_text("default"), "default".to_owned(), now);
    let key = Key::new("bench".to_owned(), owner.id.clone(), Environment::Live, now);
    let secret = Secret::new(secret, String::new(), String::new(), now);
    Loaded { key: KeyWithSecrets { key, secrets: vec![secret] }, owner }
}
