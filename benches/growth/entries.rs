//! Bytes of one entry of the key table, held in this process alone: what a key takes as it was read,
//! and what it takes once it has been used.
//!
//! No gateway and no store: so a change of an entry's parts shows in seconds.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use jiff::Timestamp;
use keygate::auth::table::{KeyPolicy, KeyTable, Moment};
use keygate::domain::scope::ScopeEntry;
use keygate::domain::{
    Catalogue, Environment, Key, KeyWithSecrets, Owner, OwnerId, PublicId, Secret,
};
use keygate::key::hash::DigestKey;
use keygate::store::Loaded;

use super::memory::resident_bytes;
use crate::stage::report::{Table, say};
use crate::stage::site::SCOPE;

const NOW: Moment = Moment { monotonic_ms: 0, wall_ms: 0 };
/// Held first, so that what every table has is not counted.
const FEW: usize = 10_000;
/// As long as the default strength makes it.
const PHC: &str = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA\
    $aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";

/// Measures and prints.
pub fn run(quick: bool) -> Result<()> {
    let count = if quick { 50_000 } else { 500_000 };
    let policy = policy();
    let ids = (0..count).map(|n| format!("{n:08}").parse::<PublicId>());
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let table = KeyTable::holding(ids[..FEW].iter().copied().map(loaded), &policy, NOW);
    let own = std::process::id();
    let empty = resident_bytes(own)?;
    table.hold(ids[FEW..].iter().copied().map(loaded), &policy, NOW);
    let read = resident_bytes(own)?;
    let digests = DigestKey::random()?;
    for id in &ids {
        use_once(&table, *id, &policy, &digests);
    }
    let used = resident_bytes(own)?;

    say(&format!("\nentries: {count} keys of one secret, one scope and one limit\n"));
    let mut printed = Table::new(["", "bytes a key"]);
    let each = |bytes: u64| format!("{:.0}", (bytes - empty) as f64 / (count - FEW) as f64);
    printed.row(["as read".to_owned(), each(read)]);
    printed.row(["used once".to_owned(), each(used)]);
    say(&printed.to_string());
    Ok(())
}

/// What a key's first request leaves.
fn use_once(table: &KeyTable, id: PublicId, policy: &KeyPolicy, digests: &DigestKey) {
    let Some(secret) = table.secret(id) else { return };
    secret.confirm(digests.digest(id.as_str().as_bytes()));
    secret.used(60_000, [192, 0, 2, 1].into());
    let record = secret.key.record(policy);
    let _ = black_box(secret.key.counters.take(&record.limits, None, 0));
    // Each value of the upstream's headers is a clone of one of these.
    black_box(record.identity.clone());
    let rights = secret.key.rights(Arc::clone(&record), policy);
    black_box(rights.told().clone());
}

fn policy() -> KeyPolicy {
    let scopes = BTreeMap::from([(SCOPE.to_owned(), ScopeEntry::default())]);
    KeyPolicy {
        generation: 1,
        catalogue: Catalogue::new(scopes),
        per_key: "600/min".parse().into_iter().collect(),
        test_keys_count: false,
        rotation_grace: Duration::ZERO,
        enforce_rotation: false,
    }
}

/// A key as the store gives it, nothing of it shared with another one.
fn loaded(secret: PublicId) -> Loaded {
    let now = Timestamp::UNIX_EPOCH;
    let owner = OwnerId::from_text("own_01jzzzzzzzzzzzzzzzzzzzzzzz");
    let mut key = Key::new(format!("client {secret}"), owner, Environment::Live, now);
    key.scopes = vec![SCOPE.to_owned()];
    let hint = format!("sk_live_{secret}");
    let secret = Secret::new(secret, hint, PHC.to_owned(), now);
    let owner = Owner::new(key.owner_id.clone(), "acme".to_owned(), now);
    Loaded { key: KeyWithSecrets { key, secrets: vec![secret] }, owner }
}
