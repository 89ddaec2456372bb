//! Several instances on one store: each knows of the others, and what was taken back is taken back
//! on all of them.

mod instances;
mod receipts;

use serde_json::Value;

use crate::support::{Origin, TestGateway, TestStore};

const CONFIG: &str = r#"
[limits]
per_key = ["100000000/min"]
[[routes]]
path = "/**"
upstream = "api"
"#;

fn start(store: TestStore, origin: &Origin) -> TestGateway {
    TestGateway::with(store).config(CONFIG).upstream("api", origin).start()
}

/// Three instances on one Postgres; `None` where none is installed.
fn three(origin: &Origin) -> Option<[TestGateway; 3]> {
    let first = start(TestStore::postgres()?, origin);
    let (second, third) = (first.another(), first.another());
    Some([first, second, third])
}

/// What `keygate instances` lists.
fn listed(gateway: &TestGateway) -> Vec<Value> {
    let list = gateway.run("instances");
    assert_eq!(list["next_cursor"], Value::Null);
    list["data"].as_array().expect("a list").clone()
}
