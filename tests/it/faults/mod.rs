//! Faults made on purpose, each with what was promised for it: the store gone, frozen, cut off;
//! instances killed; the clock moved.

mod both;
mod clock;
mod instances;
mod links;
mod outage;
mod restore;

use crate::support::{Answer, MintedKey, Origin, TestGateway, TestStore};

const CONFIG: &str = r#"
[limits]
per_key = ["100000000/min"]
[scopes]
"agents:read" = "Read agent information"
[[routes]]
path = "/**"
upstream = "api"
"#;

/// A gateway on a Postgres that the test may stop; `None` where none is installed.
fn gateway(origin: &Origin, cache: &str) -> Option<TestGateway> {
    let setup = TestGateway::with(TestStore::own_postgres()?).config(CONFIG).config(cache);
    Some(setup.upstream("api", origin).start())
}

/// A gateway on the Postgres that the tests share.
fn shared(origin: &Origin) -> Option<TestGateway> {
    let setup = TestGateway::with(TestStore::postgres()?).config(CONFIG);
    Some(setup.upstream("api", origin).start())
}

fn call(gateway: &TestGateway, key: &MintedKey) -> Answer {
    gateway.curl("/a").bearer(key).send()
}

#[track_caller]
fn is_unavailable(answer: &Answer) {
    answer.is_refusal(503, "unavailable", "Temporarily unavailable");
    assert!(answer.number("retry-after") >= 1);
}
