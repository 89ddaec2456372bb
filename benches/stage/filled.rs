//! Stores with many keys, written past the library: what a million changes at once cost is not asked
//! here.

use std::thread;

use anyhow::Result;

use crate::support::{TestStore, bulk};

/// Rows to a statement.
const ROWS: usize = 5_000;
const INTO_KEYS: &str = "INSERT INTO keys (id, name, owner_id, environment, scopes, created_at) ";
const INTO_SECRETS: &str = "INSERT INTO secrets (id, key_id, hint, phc, created_at) ";
const SCOPES: &str = "'[\"agents:read\"]'";
const MADE_AT: &str = "1700000000000";
/// Keeps Postgres's triggers from telling of each row.
const SILENTLY: &str = "SET session_replication_role = replica; ";

/// Writes so many keys that nobody uses to a migrated store.
pub fn fill(store: &TestStore, size: u32) {
    // The form of an id is minted: `key_` and 26 characters, eight characters.
    let key = "'key_' || substr('00000000000000000000000000' || n, -26)";
    let secret = "substr('00000000' || n, -8)";
    let keys = format!(
        "{INTO_KEYS} SELECT {key}, 'client ' || n, 'default', 'live', {SCOPES}, {MADE_AT} FROM"
    );
    // Nobody has a secret to this hash.
    let phc = "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA\
               $aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g";
    let secrets = format!(
        "{INTO_SECRETS} SELECT {secret}, {key}, 'sk_live_' || {secret}, '{phc}', {MADE_AT} FROM"
    );
    match store {
        TestStore::Postgres { .. } => {
            let all = format!("generate_series(1, {size}) AS n");
            let right = |text: &str| text.replace("substr(", "right(").replace(", -", ", ");
            store.sql(&format!("{SILENTLY}{} {all}; {} {all};", right(&keys), right(&secrets)));
            store.sql("VACUUM (ANALYZE)");
        }
        TestStore::Sqlite { .. } => {
            let all = format!(
                "(WITH RECURSIVE numbers (n) AS \
                 (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {size}) \
                 SELECT n FROM numbers)"
            );
            store.sql(&format!("BEGIN; {keys} {all}; {secrets} {all}; COMMIT;"));
        }
    }
}

/// Mints so many keys with weak hashes on all cores, and writes them to a migrated Postgres; their
/// secrets. A gateway that runs already hears nothing of them.
pub fn mint(store: &TestStore, count: usize) -> Result<Vec<String>> {
    let cores = thread::available_parallelism()?.get();
    let made: Vec<Made> = thread::scope(|scope| {
        let share = |core| (core..count).step_by(cores).map(Made::new).collect::<Vec<_>>();
        let makers: Vec<_> = (0..cores).map(|core| scope.spawn(move || share(core))).collect();
        makers.into_iter().flat_map(|maker| maker.join().expect("no hash fails")).collect()
    });
    for rows in made.chunks(ROWS) {
        let values = |row: fn(&Made) -> &str| rows.iter().map(row).collect::<Vec<_>>().join(", ");
        let (keys, secrets) = (values(|made| &made.key), values(|made| &made.secret));
        store
            .sql(&format!("{SILENTLY}{INTO_KEYS} VALUES {keys}; {INTO_SECRETS} VALUES {secrets};"));
    }
    store.sql("VACUUM (ANALYZE)");
    Ok(made.into_iter().map(|made| made.text).collect())
}

/// A key as it is written.
struct Made {
    key: String,
    secret: String,
    text: String,
}

impl Made {
    fn new(place: usize) -> Self {
        let (key, secret, text) = bulk::make(place, bulk::WEAK, &|_, _| {});
        let (id, hint, phc) = (&key.id, &secret.hint, &secret.phc);
        Self {
            key: format!("('{id}', '{}', 'default', 'live', {SCOPES}, {MADE_AT})", key.name),
            secret: format!("('{}', '{id}', '{hint}', '{phc}', {MADE_AT})", secret.id),
            text: text.expose().to_owned(),
        }
    }
}
