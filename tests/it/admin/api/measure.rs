//! What lists cost with a hundred thousand keys: run by hand, for `docs/performance.md`.

use rstest::rstest;
use tokio::time::Instant;

use super::Scene;
use crate::support::admin::Browserless;
use crate::support::{Answer, Kind, Wire};

const KEYS: u32 = 100_000;
/// Each list is asked for so often.
const ROUNDS: usize = 21;
/// Filters and searches with how many rows are on their first page.
const LISTS: &[(&str, usize)] = &[
    ("", 50),
    ("q=key", 50),
    ("q=key%20100077777", 1),
    ("q=sk_live_s1077777", 1),
    ("q=owner%20777", 50),
    ("q=nosuchthing", 0),
    ("q=core%20nosuchthing", 0),
    ("owner=Owner%20777", 50),
    ("owner=Owner%20777&q=nosuchthing", 0),
    ("status=active", 50),
    ("status=disabled", 0),
    ("status=expired", 0),
    ("status=revoked", 0),
    ("environment=test", 50),
    ("scope=agents:write", 0),
    ("unused_for=1d", 0),
    ("unused_for=0", 50),
    ("older_than=36500d", 0),
    ("older_than=1d", 50),
    ("overdue=true", 0),
    ("expiring_within=7d", 0),
    ("status=active&environment=test&unused_for=1d&q=nosuchthing", 0),
];

/// The same of the dashboard's page.
const PAGES: &[(&str, usize)] =
    &[("", 50), ("q=key%20100077777", 1), ("q=nosuchthing", 0), ("owner=Owner%20777", 50)];

/// A hundred thousand keys of a thousand owners, made by hand.
fn fill(scene: &Scene) {
    let numbers = |count: u32| {
        format!(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) "
        )
    };
    let now_ms = now_ms_by_the_clock();
    let store = scene.gateway.store();
    store.sql(&format!(
        "{}INSERT INTO owners (id, name, created_at) \
         SELECT 'own_' || (1000 + i), 'Owner ' || i, 1 FROM n",
        numbers(1_000)
    ));
    store.sql(&format!(
        "{}INSERT INTO keys (id, name, owner_id, environment, scopes, metadata, created_at) \
         SELECT 'key_' || (100000000 + i), 'key ' || (100000000 + i), 'own_' || (1001 + i % 1000), \
         CASE WHEN i % 10 = 0 THEN 'test' ELSE 'live' END, '[\"agents:read\"]', \
         '{{\"team\":\"core\",\"plan\":\"p' || (i % 7) || '\"}}', {} + i FROM n",
        numbers(KEYS),
        now_ms - 80 * 86_400_000
    ));
    store.sql(&format!(
        "{}INSERT INTO secrets (id, key_id, hint, phc, created_at, last_used_at) \
         SELECT 's' || (1000000 + i), 'key_' || (100000000 + i), 'sk_live_s' || (1000000 + i), \
         '$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g', \
         {} + i, {now_ms} FROM n",
        numbers(KEYS),
        now_ms - 80 * 86_400_000
    ));
    store.sql("ANALYZE");
}

#[expect(clippy::disallowed_methods, reason = "the store is filled as if by the gateway's clock")]
fn now_ms_by_the_clock() -> i64 {
    jiff::Timestamp::now().as_millisecond()
}

/// Asks on one connection, for the time between request and answer alone.
fn asked(wire: &mut Wire, target: &str, field: &str) -> (f64, Answer) {
    let begun = Instant::now();
    wire.send(format!("GET {target} HTTP/1.1\r\nHost: admin\r\n{field}\r\n\r\n"));
    let answer = wire.answer();
    let ms = begun.elapsed().as_secs_f64() * 1_000.0;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    (ms, answer)
}

/// A row of the table: what it is of, its number of rows, the middle one and the longest.
fn row(shown: &str, rows: usize, mut taken: Vec<f64>) -> String {
    taken.sort_by(f64::total_cmp);
    let (middle, longest) = (taken[ROUNDS / 2], taken[ROUNDS - 1]);
    format!("| {shown} | {rows} | {middle:.1} | {longest:.1} |\n")
}

#[rstest]
#[ignore = "takes a minute and measures; the command is in docs/performance.md"]
fn lists_of_a_hundred_thousand_keys(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(scene) = Scene::of(kind) else { return };
    fill(&scene);
    let mut wire = Wire::connect(scene.gateway.admin_address());
    let token = format!("Authorization: Bearer {}", scene.admin.text());
    let cookie =
        format!("Cookie: {}", Browserless::signed_in(&scene.gateway, &scene.admin).cookie());
    let mut table =
        format!("| {kind:?} | rows | p50 ms | max ms |\n| --- | ---: | ---: | ---: |\n");
    for (query, rows) in LISTS {
        let mut taken = Vec::new();
        for _ in 0..ROUNDS {
            let (ms, answer) = asked(&mut wire, &format!("/admin/v1/keys?{query}"), &token);
            let found = answer.json()["data"].as_array().expect("a list").len();
            assert_eq!(found, *rows, "{query}");
            taken.push(ms);
        }
        table += &row(if query.is_empty() { "the first page" } else { query }, *rows, taken);
    }
    for (query, rows) in PAGES {
        let target = format!("/keys?{query}");
        let taken = (0..ROUNDS).map(|_| asked(&mut wire, &target, &cookie).0).collect();
        table += &row(&format!("the dashboard's `{target}`"), *rows, taken);
    }
    println!("{table}");
}
