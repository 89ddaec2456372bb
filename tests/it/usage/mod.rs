//! The usage journal and the books, on the real binary: what is answered is booked, and once.

mod command;
mod kill;
mod room;

use std::collections::BTreeMap;
use std::fs;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};

use crate::support::{TestGateway, TestStore, block_on, until};

const CONFIG: &str = r#"
[usage]
keep_requests = "1d"
[limits]
per_key = ["100000000/min"]
[[routes]]
path = "/open"
public = true
upstream = "api"
[[routes]]
path = "/**"
upstream = "api"
"#;

/// How often each request id is among the single requests on the books.
fn booked(store: &TestStore) -> BTreeMap<String, u64> {
    let mut booked = BTreeMap::new();
    for id in texts(store, "SELECT request_id FROM usage_requests") {
        *booked.entry(id).or_default() += 1;
    }
    booked
}

/// The first column of a question's answer.
fn texts(store: &TestStore, question: &str) -> Vec<String> {
    let question = AssertSqlSafe(question.to_owned());
    let rows: sqlx::Result<Vec<(String,)>> = block_on(async {
        let url = store.url();
        if url.starts_with("sqlite") {
            let mut connection = SqliteConnection::connect(&url).await?;
            sqlx::query_as(question).fetch_all(&mut connection).await
        } else {
            let mut connection = PgConnection::connect(&url).await?;
            sqlx::query_as(question).fetch_all(&mut connection).await
        }
    });
    rows.expect("the store answers").into_iter().map(|row| row.0).collect()
}

/// The folders of journals that are there.
fn journals(gateway: &TestGateway) -> Vec<String> {
    let folder = gateway.installation().folder().join("usage");
    let names = fs::read_dir(folder).expect("the folder is there");
    let names = names.map(|entry| entry.expect("it can be listed").file_name());
    let names = names.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "lock").collect()
}

/// Waits until no journal is left but that of the one gateway that runs, and that is booked.
fn until_all_is_booked(gateway: &TestGateway) {
    until("the journals left are taken over", || journals(gateway).len() == 1);
    until("all is booked", || {
        let metrics = gateway.metrics();
        metrics.total("keygate_usage_written_total") == metrics.total("keygate_usage_booked_total")
    });
}
