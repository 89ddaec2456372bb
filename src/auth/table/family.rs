//! What a key may do under its living ancestors: at every request the intersection of its own rights
//! and theirs.
//!
//! A key without a parent never comes here. For one that has one, what was put together is kept until
//! one of the records that it was made of is another one, so that a request allocates nothing.

use std::iter::successors;
use std::net::IpAddr;
use std::sync::Arc;

use http::HeaderValue;

use super::record::header_value;
use super::{KeyEntry, KeyPolicy, KeyRecord};
use crate::domain::{Environment, ScopeSet};

/// The scopes of a key that its ancestors all have too.
pub(super) struct Bounded {
    /// Over the catalogue.
    pub scopes: ScopeSet,
    /// What the upstream is told: as granted, or by name where the ancestors leave only a part.
    pub told: HeaderValue,
    /// The key's own record, then its parent's, and so on: held, so that no other record can come to
    /// be at the place of one of them.
    made_of: Box<[Arc<KeyRecord>]>,
}

/// What a key may do: its own, or less where it has ancestors.
#[derive(Clone)]
pub struct Rights {
    /// Its record.
    pub record: Arc<KeyRecord>,
    bounded: Option<Arc<Bounded>>,
}

impl Rights {
    /// Its scopes.
    pub fn scopes(&self) -> &ScopeSet {
        self.bounded.as_ref().map_or(&self.record.scopes, |bounded| &bounded.scopes)
    }

    /// The records of the keys above it that they were bounded by, its parent's first.
    pub fn above(&self) -> &[Arc<KeyRecord>] {
        self.bounded.as_ref().map_or(&[], |bounded| &bounded.made_of[1..])
    }

    /// Its scopes in words, space-separated.
    pub fn told(&self) -> &HeaderValue {
        self.bounded.as_ref().map_or(&self.record.identity.scopes, |bounded| &bounded.told)
    }
}

impl KeyEntry {
    /// What the key may do under its ancestors as they are now. `record` is its own.
    pub fn rights(&self, record: Arc<KeyRecord>, policy: &KeyPolicy) -> Rights {
        let bounded = self.parent.as_ref().map(|_| self.bounded(&record, policy));
        Rights { record, bounded }
    }

    /// The key's parent, that one's parent, and so on.
    pub fn ancestors(&self) -> impl Iterator<Item = &Arc<KeyEntry>> {
        successors(self.parent.as_ref(), |key| key.parent.as_ref())
    }

    /// Whether each of its ancestors may be called from that address. An empty allowlist allows all.
    pub fn ancestors_admit(&self, client: IpAddr) -> bool {
        self.ancestors().all(|key| key.row().admits(client))
    }

    /// Whether all its ancestors are of that environment.
    pub fn ancestors_are(&self, environment: Environment) -> bool {
        self.ancestors().all(|key| key.row().key.environment == environment)
    }

    fn bounded(&self, record: &Arc<KeyRecord>, policy: &KeyPolicy) -> Arc<Bounded> {
        if let Some(bounded) = &*self.bounded.load()
            && self.is_made_of(&bounded.made_of, record, policy)
        {
            return Arc::clone(bounded);
        }
        let ancestors = self.ancestors().map(|key| Arc::clone(&key.record(policy)));
        let family = std::iter::once(Arc::clone(record)).chain(ancestors).collect();
        let bounded = Arc::new(Bounded::of(family, policy));
        self.bounded.store(Some(Arc::clone(&bounded)));
        bounded
    }

    fn is_made_of(&self, made_of: &[Arc<KeyRecord>], own: &Arc<KeyRecord>, p: &KeyPolicy) -> bool {
        let Some((first, others)) = made_of.split_first() else { return false };
        Arc::ptr_eq(first, own)
            && self.ancestors().zip(others).all(|(key, seen)| Arc::ptr_eq(&key.record(p), seen))
    }
}

impl KeyRecord {
    /// Whether the record's own allowlist lets an address in; an empty one lets all in.
    pub fn admits(&self, client: IpAddr) -> bool {
        let allowed = &self.key.allowed_ips;
        allowed.is_empty() || allowed.iter().any(|range| range.contains(client))
    }
}

impl Bounded {
    /// `family`: the key's own record, then its parent's, and so on, of one catalogue.
    fn of(family: Box<[Arc<KeyRecord>]>, policy: &KeyPolicy) -> Self {
        let (own, ancestors) = family.split_first().expect("a family begins with the key itself");
        let scopes =
            ancestors.iter().fold(own.scopes.clone(), |set, key| set.shared_with(&key.scopes));
        let catalogue = &policy.catalogue;
        let granted = |key: &Arc<KeyRecord>| catalogue.cover(&key.key.scopes, &own.key.scopes);
        let told = if ancestors.iter().all(granted) {
            own.identity.scopes.clone()
        } else {
            header_value(&catalogue.named(&scopes).join(" "))
        };
        Self { scopes, told, made_of: family }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, subsequence};

    use super::*;
    use crate::auth::table::{KeyTable, Moment};
    use crate::domain::scope::ScopeEntry;
    use crate::domain::{Catalogue, Key, KeyId, KeyWithSecrets, Owner, OwnerId};
    use crate::store::Loaded;

    const NOW: Moment = Moment { monotonic_ms: 0, wall_ms: 0 };
    const GRANTS: [&str; 9] =
        ["a:read", "a:write", "a:*", "b:read", "b:*", "all", "c:read", "c:*", "gone:read"];
    const RANGES: [&str; 6] =
        ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::ffff:10.1.0.0/112", "2001:db8::/32", "::/0"];

    fn policy(generation: u64) -> KeyPolicy {
        let entry = |implies: &[&str]| ScopeEntry {
            description: String::new(),
            implies: implies.iter().map(ToString::to_string).collect(),
        };
        let entries = BTreeMap::from([
            ("a:read".to_owned(), entry(&[])),
            ("a:write".to_owned(), entry(&["a:read"])),
            ("b:read".to_owned(), entry(&[])),
            ("all".to_owned(), entry(&["*"])),
            ("c:read".to_owned(), entry(&["b:*"])),
        ]);
        let catalogue = Catalogue::new(entries);
        KeyPolicy {
            generation,
            catalogue,
            per_key: Arc::default(),
            test_keys_count: false,
            rotation_grace: std::time::Duration::ZERO,
            enforce_rotation: false,
        }
    }

    fn id(generation: usize) -> KeyId {
        KeyId::from_text(format!("key_{generation}"))
    }

    fn loaded(generation: usize, scopes: &[&str], ranges: &[&str]) -> Loaded {
        let now = Timestamp::UNIX_EPOCH;
        let owner = Owner::new(OwnerId::from_text("default"), "default".to_owned(), now);
        let key = Key {
            id: id(generation),
            parent_id: generation.checked_sub(1).map(id),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            allowed_ips: ranges.iter().map(|range| range.parse().unwrap()).collect(),
            ..Key::new("k".to_owned(), owner.id.clone(), Environment::Live, now)
        };
        Loaded { key: KeyWithSecrets { key, secrets: Vec::new() }, owner }
    }

    fn rights(key: &KeyEntry, policy: &KeyPolicy) -> Rights {
        key.rights(Arc::clone(&key.record(policy)), policy)
    }

    fn told(rights: &Rights) -> &str {
        rights.told().to_str().unwrap()
    }

    #[test]
    fn what_was_put_together_is_kept_until_a_record_of_the_family_is_another_one() {
        let policy = policy(1);
        let family = [loaded(0, &["a:*"], &[]), loaded(1, &["a:*"], &[]), loaded(2, &["a:*"], &[])];
        let table = KeyTable::holding(family, &policy, NOW);
        let youngest = table.key(&id(2)).unwrap();
        let first = rights(&youngest, &policy);
        let kept = |now: &Rights| {
            Arc::ptr_eq(first.bounded.as_ref().unwrap(), now.bounded.as_ref().unwrap())
        };
        assert_eq!(told(&first), "a:*");
        assert!(kept(&rights(&youngest, &policy)));
        table.put(loaded(0, &["a:read", "b:read"], &[]), None, &policy, NOW);
        let cut = rights(&youngest, &policy);
        assert!(!kept(&cut));
        assert_eq!(told(&cut), "a:read");
        let without = KeyPolicy { generation: 2, catalogue: Catalogue::default(), ..policy };
        assert_eq!(told(&rights(&youngest, &without)), "");
    }

    #[test]
    fn a_key_without_a_parent_has_what_it_was_granted() {
        let policy = policy(1);
        let table = KeyTable::holding([loaded(0, &["a:*", "gone:read"], &[])], &policy, NOW);
        let rights = rights(&table.key(&id(0)).unwrap(), &policy);
        assert!(rights.bounded.is_none());
        assert_eq!(told(&rights), "a:* gone:read");
    }

    proptest! {
        #[test]
        fn nobody_may_what_one_above_may_not(
            family in vec(subsequence(GRANTS.to_vec(), 0..5), 2..5),
            later in subsequence(GRANTS.to_vec(), 0..5),
            which in any::<Index>(),
        ) {
            let policy = policy(1);
            let rows = family.iter().enumerate().map(|(n, scopes)| loaded(n, scopes, &[]));
            let table = KeyTable::holding(rows, &policy, NOW);
            let youngest = table.key(&id(family.len() - 1)).unwrap();
            rights(&youngest, &policy);
            let mut family = family;
            let changed = which.index(family.len());
            let parent = changed.checked_sub(1).and_then(|n| table.key(&id(n)));
            table.put(loaded(changed, &later, &[]), parent, &policy, NOW);
            family[changed] = later;

            let rights = rights(&youngest, &policy);
            let sets = family.iter().map(|scopes| policy.catalogue.granted(scopes));
            let shared = sets.clone().reduce(|one, other| one.shared_with(&other)).unwrap();
            prop_assert_eq!(rights.scopes(), &shared);
            for set in sets {
                prop_assert!(set.contains_all(rights.scopes()));
            }
            let told = policy.catalogue.granted(told(&rights).split_whitespace());
            prop_assert_eq!(told, shared, "what the upstream is told is what is checked");
        }

        #[test]
        fn nobody_calls_from_where_one_above_may_not(
            family in vec(subsequence(RANGES.to_vec(), 0..3), 1..5),
            address in prop::sample::select(
                vec!["10.1.2.3", "::ffff:10.1.2.3", "10.2.0.1", "11.0.0.1", "2001:db8::1", "::1"]
            ),
        ) {
            let policy = policy(1);
            let rows = family.iter().enumerate().map(|(n, ranges)| loaded(n, &[], ranges));
            let table = KeyTable::holding(rows, &policy, NOW);
            let youngest = table.key(&id(family.len() - 1)).unwrap();
            let address = address.parse().unwrap();
            let admitted = youngest.row().admits(address) && youngest.ancestors_admit(address);
            let all = (0..family.len()).all(|n| table.key(&id(n)).unwrap().row().admits(address));
            prop_assert_eq!(admitted, all);
        }
    }
}
