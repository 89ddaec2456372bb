//! What version 1 of the schema was written for goes on working on the newest: the statements of the
//! first keygate, word for word, and the change feed tells of what they do.
//!
//! Nothing here follows the code. A statement may go when no version that sends it is upgraded from
//! any more; see `src/store/migrate.rs`.

use keygate::domain::{KeyId, OwnerId};
use keygate::store::Change;
use rstest::rstest;

use super::{Kind, TestStore};

const CREATE_OWNER: &str = "INSERT INTO owners (id, name, disabled, created_at) \
    VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
const SET_OWNER_DISABLED: &str = "UPDATE owners SET disabled = $2 WHERE id = $1";
const INSERT_KEY: &str = "INSERT INTO keys (id, name, owner_id, parent_id, environment, scopes, \
    limits, allowed_ips, monthly_budget, expires_at, disabled, revoked_at, revoke_reason, metadata, \
    rotation_interval_days, created_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
const INSERT_SECRET: &str = "INSERT INTO secrets \
    (id, key_id, hint, phc, created_at, expires_at, revoked_at, last_used_at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING";
const UPDATE_KEY: &str = "UPDATE keys SET name = $2, owner_id = $3, scopes = $4, limits = $5, \
    allowed_ips = $6, monthly_budget = $7, expires_at = $8, metadata = $9 WHERE id = $1";
const SET_KEY_DISABLED: &str = "UPDATE keys SET disabled = $2 WHERE id = $1 AND revoked_at IS NULL";
const END_SECRET: &str = "UPDATE secrets SET expires_at = $2 WHERE id = $1";
const GRACE: &str = "UPDATE secrets SET expires_at = $2 WHERE key_id = $1 AND revoked_at IS NULL \
    AND (expires_at IS NULL OR expires_at > $2)";
const REVOKE_SECRET: &str = "UPDATE secrets SET revoked_at = $3 WHERE id = $2 AND key_id = $1 \
    AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $3)";
const REVOKE_KEY: &str = "WITH RECURSIVE family (id) AS (SELECT id FROM keys WHERE id = $1 \
    UNION SELECT k.id FROM keys k JOIN family f ON k.parent_id = f.id) \
    UPDATE keys SET revoked_at = $2, revoke_reason = $3 \
    WHERE id IN (SELECT id FROM family) AND revoked_at IS NULL";

const SQLITE_USES: &str = "UPDATE secrets SET last_used_at = used.at FROM \
    (SELECT json_extract(value, '$[0]') AS id, json_extract(value, '$[1]') AS at \
    FROM json_each($1)) AS used WHERE secrets.id = used.id \
    AND (secrets.last_used_at IS NULL OR secrets.last_used_at < used.at)";
const POSTGRES_USES: &str = "WITH used AS (SELECT id, at FROM unnest($1::text[], $2::bigint[]) \
    AS u (id, at)), held AS (SELECT s.id FROM secrets s JOIN used u ON u.id = s.id \
    WHERE s.last_used_at IS NULL OR s.last_used_at < u.at ORDER BY s.id FOR NO KEY UPDATE OF s) \
    UPDATE secrets SET last_used_at = used.at FROM used JOIN held ON held.id = used.id \
    WHERE secrets.id = used.id \
    AND (secrets.last_used_at IS NULL OR secrets.last_used_at < used.at)";

/// What it asked, of both stores alike.
const QUESTIONS: [&str; 10] = [
    "SELECT coalesce(max(version), 0) FROM keygate_migrations",
    "SELECT coalesce(max(revision), 0) FROM changes",
    "SELECT kind, id, max(revision) AS revision FROM changes WHERE revision > $1 \
     GROUP BY kind, id ORDER BY max(revision)",
    "SELECT (SELECT min(revision) FROM changes), (SELECT max(revision) FROM changes)",
    "SELECT o.id AS owner_id, o.name AS owner_name, o.disabled AS owner_disabled, \
     o.created_at AS owner_created_at FROM owners o WHERE o.id < 'z' ORDER BY o.id DESC LIMIT $1",
    "SELECT o.id AS owner_id, o.name AS owner_name, o.disabled AS owner_disabled, \
     o.created_at AS owner_created_at , k.id, k.name, k.parent_id, k.environment, k.scopes, \
     k.limits, k.allowed_ips, k.monthly_budget, k.expires_at, k.disabled, k.revoked_at, \
     k.revoke_reason, k.metadata, k.rotation_interval_days, k.created_at, s.id AS secret_id, \
     s.hint AS secret_hint, s.phc AS secret_phc, s.created_at AS secret_created_at, \
     s.expires_at AS secret_expires_at, s.revoked_at AS secret_revoked_at, \
     s.last_used_at AS secret_last_used_at FROM keys k JOIN owners o ON o.id = k.owner_id \
     LEFT JOIN secrets s ON s.key_id = k.id ORDER BY k.id DESC, s.created_at, s.id",
    "WITH page AS (SELECT k.* FROM keys k WHERE k.id < 'z' AND k.revoked_at IS NULL \
     AND (k.expires_at IS NULL OR k.expires_at > $1) AND NOT k.disabled \
     ORDER BY k.id DESC LIMIT $1) SELECT k.id, k.name FROM page k",
    "SELECT id FROM keys WHERE id = 'key_1' AND revoked_at IS NULL",
    "SELECT id, created_at, expires_at FROM secrets WHERE key_id = 'key_1' \
     AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1) ORDER BY id",
    "SELECT id FROM secrets",
];

/// Puts values in the place of the parameters, the last first, so that `$1` is not taken for the
/// beginning of `$10`.
fn filled(statement: &str, values: &[&str]) -> String {
    let numbered = values.iter().enumerate().rev();
    numbered.fold(statement.to_owned(), |text, (index, value)| {
        text.replace(&format!("${}", index + 1), value)
    })
}

fn key(id: &str) -> Change {
    Change::Key(KeyId::from_text(id))
}

fn owner(id: &str) -> Change {
    Change::Owner(OwnerId::from_text(id))
}

/// Runs a statement that must change rows, of which the feed must tell.
async fn does(store: &TestStore, statement: &str, values: &[&str], told: &[Change]) {
    let before = store.revision().await.unwrap();
    assert!(store.sql(&filled(statement, values)).await > 0, "{statement}");
    assert_eq!(store.told(before).await, told, "{statement}");
}

#[rstest]
#[tokio::test]
async fn its_statements_do_what_they_did_and_are_told_of(
    #[values(Kind::Sqlite, Kind::Postgres)] kind: Kind,
) {
    let Some(store) = kind.ready().await else { return };
    does(&store, CREATE_OWNER, &["'own_1'", "'acme'", "false", "1000"], &[owner("own_1")]).await;
    for (id, parent) in [("'key_1'", "NULL"), ("'key_2'", "'key_1'")] {
        let (before, after) = (["'k'", "'own_1'"], ["'live'", "'[\"a:b\"]'", "'[\"60/min\"]'"]);
        let end = ["'[]'", "50000000", "9000000", "false", "NULL", "NULL", "'{}'", "30", "1000"];
        let values = [&[id][..], &before, &[parent], &after, &end].concat();
        does(&store, INSERT_KEY, &values, &[key(id.trim_matches('\''))]).await;
    }
    for id in ["'aaaaaaaa'", "'bbbbbbbb'"] {
        let phc = "'$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaA'";
        let values = [id, "'key_1'", "'sk_live_'", phc, "1000", "NULL", "NULL", "NULL"];
        does(&store, INSERT_SECRET, &values, &[key("key_1")]).await;
    }
    let values = [
        "'key_1'",
        "'new'",
        "'default'",
        "'[]'",
        "'[]'",
        "'[\"10.0.0.0/8\"]'",
        "1",
        "NULL",
        "'{}'",
    ];
    does(&store, UPDATE_KEY, &values, &[key("key_1")]).await;
    does(&store, SET_OWNER_DISABLED, &["'own_1'", "true"], &[owner("own_1")]).await;
    does(&store, SET_KEY_DISABLED, &["'key_1'", "true"], &[key("key_1")]).await;
    let used = match kind {
        Kind::Sqlite => filled(SQLITE_USES, &["'[[\"aaaaaaaa\",5000]]'"]),
        Kind::Postgres => filled(POSTGRES_USES, &["'{aaaaaaaa}'", "'{5000}'"]),
    };
    does(&store, &used, &[], &[]).await;
    let is_read = store.load_key(&KeyId::from_text("key_1")).await.unwrap().unwrap().key;
    assert_eq!((is_read.key.name.as_str(), is_read.key.disabled), ("new", true));
    assert_eq!(is_read.secrets[0].last_used_at, Some(super::at(5000)));
    does(&store, END_SECRET, &["'aaaaaaaa'", "7000"], &[key("key_1")]).await;
    does(&store, GRACE, &["'key_1'", "8000"], &[key("key_1")]).await;
    does(&store, REVOKE_SECRET, &["'key_1'", "'bbbbbbbb'", "7500"], &[key("key_1")]).await;
    let family = [key("key_1"), key("key_2")];
    let before = store.revision().await.unwrap();
    assert_eq!(store.sql(&filled(REVOKE_KEY, &["'key_1'", "9000", "'gone'"])).await, 2);
    let told = store.told(before).await;
    assert!(told.len() == 2 && family.iter().all(|key| told.contains(key)), "{told:?}");
    for question in QUESTIONS {
        store.sql(&filled(question, &["100"])).await;
    }
}
