//! The rules of minting, on a real store.

mod family;

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::config;
use crate::domain::{KeyStatus, SecretStatus};
use crate::key::hash::Argon2Verifier;
use crate::store;

const CONFIG: &str = r#"
keys.argon2 = { memory = "64KiB", iterations = 1, parallelism = 1 }
[scopes]
"agents:read" = "Read"
"agents:write" = "Write"
[permissions]
read-only = ["agents:read"]
all = ["agents:read", "agents:write"]
[upstreams.api]
targets = ["http://127.0.0.1:9"]
[[routes]]
path = "/"
upstream = "api"
"#;

struct Fixture {
    store: Arc<dyn Store>,
    config: Config,
    clock: Clock,
    asker: Asker,
    _directory: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(CONFIG).await
    }

    async fn with(config: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("keys.db");
        let url = format!("store.url = \"sqlite://{}\"\n{config}", file.display());
        let loaded =
            config::parse(&url, Path::new("k.toml"), &config::Environment::default()).unwrap();
        let store = store::open(&loaded.config.store).await.unwrap();
        store.migrate().await.unwrap();
        let clock = Clock::standing_at("2027-01-31T12:00:00Z".parse().unwrap());
        let asker = Asker { actor: Actor::Keygate, address: None };
        Self { store, config: loaded.config, clock, asker, _directory: directory }
    }

    fn mint(&self) -> Mint<'_> {
        Mint { store: &*self.store, config: &self.config, clock: &self.clock, asker: &self.asker }
    }

    async fn refused(&self, new: NewKey) -> (String, Option<String>) {
        let error = self.mint().create(new).await.unwrap_err();
        (error.to_string(), error.hint())
    }
}

fn plain() -> NewKey {
    NewKey { name: "ci".to_owned(), ..NewKey::default() }
}

fn scoped(scopes: &[&str], permissions: &[&str]) -> NewKey {
    let owned = |names: &[&str]| names.iter().map(ToString::to_string).collect();
    let grants = Grants { scopes: owned(scopes), permissions: owned(permissions) };
    NewKey { grants: Some(grants), ..plain() }
}

#[tokio::test]
async fn what_is_kept_is_a_hash_of_the_secret_that_is_handed_out() {
    let fixture = Fixture::new().await;
    let (made, minted) = fixture.mint().create(plain()).await.unwrap();
    let kept = fixture.mint().key(&made.key.id).await.unwrap();
    assert_eq!(kept, made);
    let secret = &kept.secrets[0];
    assert_eq!((secret.id, &secret.hint), (minted.id, &minted.hint));
    let mut verifier = Argon2Verifier::default();
    let text = minted.text.expose().as_bytes();
    assert!(verifier.verify(text, &secret.phc, "x").unwrap());
    assert!(!format!("{kept:?}").contains(minted.text.expose()));
}

#[tokio::test]
async fn permissions_become_scopes_each_once_in_their_order() {
    let fixture = Fixture::new().await;
    let new = scoped(&["agents:write", "agents:*"], &["read-only", "all"]);
    let (made, _) = fixture.mint().create(new).await.unwrap();
    assert_eq!(made.key.scopes, ["agents:write", "agents:*", "agents:read"]);
}

#[tokio::test]
async fn only_scopes_of_the_catalogue_are_minted() {
    let fixture = Fixture::new().await;
    for known in ["agents:read", "agents:*", "*"] {
        fixture.mint().create(scoped(&[known], &[])).await.unwrap();
    }
    for (unknown, hint) in [
        ("agents:raed", "did you mean `agents:read`?"),
        ("q", "known are agents:read, agents:write"),
    ] {
        let (message, hinted) = fixture.refused(scoped(&[unknown], &[])).await;
        assert_eq!(message, format!("unknown scope `{unknown}`"));
        assert_eq!(hinted.as_deref(), Some(hint));
    }
    let (message, _) = fixture.refused(scoped(&["a b"], &[])).await;
    assert!(message.contains("no scope"), "{message}");
    let (message, hint) = fixture.refused(scoped(&[], &["everything"])).await;
    assert_eq!(message, "unknown permission `everything`");
    assert_eq!(hint.as_deref(), Some("known are all, read-only"));
}

#[tokio::test]
async fn names_and_notes_keep_their_bounds_and_hold_no_secret() {
    let fixture = Fixture::new().await;
    let (_, minted) = fixture.mint().create(plain()).await.unwrap();
    let secret = minted.text.expose();
    for name in ["", "  ", "a\nb", &"x".repeat(101), secret] {
        let (message, hint) = fixture.refused(NewKey { name: name.to_owned(), ..plain() }).await;
        assert!(!message.contains(secret) && !hint.unwrap_or_default().contains(secret));
    }
    let note = |name: &str, value: &str| BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let many = (0..33).map(|n| (n.to_string(), String::new())).collect();
    let long = "x".repeat(501);
    for metadata in [
        note("", "v"),
        note(&"n".repeat(65), "v"),
        note("n", &long),
        note("n", &format!("was {secret}")),
        many,
    ] {
        fixture.refused(NewKey { metadata, ..plain() }).await;
    }
    let fits = NewKey { name: "ü".repeat(100), metadata: note("n", &long[1..]), ..plain() };
    fixture.mint().create(fits).await.unwrap();
}

#[tokio::test]
async fn limits_are_one_a_window_and_stand_shortest_first() {
    let fixture = Fixture::new().await;
    let limits = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let new = NewKey { limits: Some(limits(&["9/day", "1/s", "5/min"])), ..plain() };
    let (made, _) = fixture.mint().create(new).await.unwrap();
    assert_eq!(made.key.limits, limits(&["1/s", "5/min", "9/day"]));
    let (message, _) =
        fixture.refused(NewKey { limits: Some(limits(&["1/s", "2/s"])), ..plain() }).await;
    assert!(message.contains("1/s and 2/s"), "{message}");
}

#[tokio::test]
async fn an_end_must_be_still_to_come() {
    let fixture = Fixture::new().await;
    let now = fixture.clock.now();
    fixture.refused(NewKey { expires_at: Some(Some(now)), ..plain() }).await;
    let (made, _) = fixture.mint().create(plain()).await.unwrap();
    let change = KeyChange { expires_at: Some(Some(now)), ..KeyChange::default() };
    fixture.mint().update(&made.key.id, change).await.unwrap_err();
}

#[tokio::test]
async fn without_a_test_prefix_no_test_key_is_minted() {
    let fixture = Fixture::with(&format!("keys.test_prefix = \"\"\n{CONFIG}")).await;
    let new = NewKey { environment: Some(Environment::Test), ..plain() };
    let (message, hint) = fixture.refused(new).await;
    assert!(message.contains("no test keys") && hint.is_some(), "{message}");
}

#[tokio::test]
async fn an_owner_that_is_not_there_is_told_with_the_nearest() {
    let fixture = Fixture::new().await;
    let owner = fixture.mint().create_owner("acme".to_owned()).await.unwrap();
    let by_id = NewKey { owner: Some(owner.id.to_string()), ..plain() };
    assert_eq!(fixture.mint().create(by_id).await.unwrap().0.key.owner_id, owner.id);
    let (message, hint) =
        fixture.refused(NewKey { owner: Some("acne".to_owned()), ..plain() }).await;
    assert_eq!(message, "there is no owner `acne`");
    assert!(hint.unwrap().contains("`acme`"));
    let error = fixture.mint().create_owner("acme".to_owned()).await.unwrap_err();
    assert!(matches!(error, MintError::Store(store::StoreError::Conflict(_))));
    fixture.mint().create_owner("own_1".to_owned()).await.unwrap_err();
}

#[tokio::test]
async fn a_change_touches_what_it_names_and_nothing_else() {
    let fixture = Fixture::new().await;
    let notes =
        BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
    let new = NewKey { metadata: notes, ..scoped(&["agents:read"], &[]) };
    let (made, _) = fixture.mint().create(new).await.unwrap();
    let metadata = BTreeMap::from([("a".to_owned(), None), ("c".to_owned(), Some("3".to_owned()))]);
    let change = KeyChange { name: Some("cd".to_owned()), metadata, ..KeyChange::default() };
    let changed = fixture.mint().update(&made.key.id, change).await.unwrap();
    let mut expected = made.clone();
    expected.key.name = "cd".to_owned();
    expected.key.metadata =
        BTreeMap::from([("b".to_owned(), "2".to_owned()), ("c".to_owned(), "3".to_owned())]);
    assert_eq!(changed, expected);
}

#[tokio::test]
async fn a_rotation_leaves_two_live_secrets_at_most() {
    let fixture = Fixture::new().await;
    let mint = fixture.mint();
    let (made, first) = mint.create(plain()).await.unwrap();
    let id = &made.key.id;
    fixture.clock.set("2027-01-31T12:00:01Z".parse().unwrap());
    let (rotated, second) = mint.rotate(id, Duration::from_hours(1), false).await.unwrap();
    assert_ne!(first.id, second.id);
    let now = fixture.clock.now();
    let statuses = |key: &KeyWithSecrets, now| -> Vec<SecretStatus> {
        key.secrets.iter().map(|secret| secret.status(now)).collect()
    };
    assert_eq!(statuses(&rotated, now), [SecretStatus::Grace, SecretStatus::Active]);
    let error = mint.rotate(id, Duration::ZERO, false).await.unwrap_err();
    assert!(matches!(error, MintError::TwoLive(_)) && error.hint().unwrap().contains("--replace"));
    let (replaced, _) = mint.rotate(id, Duration::ZERO, true).await.unwrap();
    let live = replaced.secrets.iter().filter(|secret| secret.is_live(now)).count();
    assert_eq!(live, 1);
}

#[tokio::test]
async fn a_revoked_key_stays_revoked() {
    let fixture = Fixture::new().await;
    let mint = fixture.mint();
    let (made, _) = mint.create(plain()).await.unwrap();
    let id = &made.key.id;
    assert_eq!(mint.revoke(id, Some("left")).await.unwrap(), 1);
    assert_eq!(mint.revoke(id, None).await.unwrap(), 0);
    let kept = mint.key(id).await.unwrap();
    assert_eq!(kept.key.status(fixture.clock.now()), KeyStatus::Revoked);
    assert_eq!(kept.key.revoke_reason.as_deref(), Some("left"));
    let revoked = |error| matches!(error, MintError::Revoked(_));
    assert!(revoked(mint.set_disabled(id, false).await.unwrap_err()));
    assert!(revoked(mint.rotate(id, Duration::ZERO, true).await.unwrap_err()));
    let change = KeyChange { name: Some("x".to_owned()), ..KeyChange::default() };
    assert!(revoked(mint.update(id, change).await.unwrap_err()));
    let gone = KeyId::from_text("key_gone");
    assert!(matches!(mint.revoke(&gone, None).await, Err(MintError::NoSuchKey(_))));
}
