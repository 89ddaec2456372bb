//! HTTP/2 from clients: the same requests on another wire, and what that wire alone can do wrong.

mod calls;
mod client;
mod ended_keys;
mod floods;
mod frames;
mod grpc;
mod heads;
mod refusals;
mod requests;
mod times;
mod websocket;

use client::Client;
use frames::Frames;

use crate::support::{MintedKey, Origin, TestGateway, TestStore};

/// One route that any key opens, to one upstream, and a public one.
const OPEN: &str = r#"
[limits]
per_key = ["1000000/min"]
[scopes]
"agents:read" = "Read agent information"
[[routes]]
path = "/**"
upstream = "api"
[[routes]]
path = "/public"
public = true
upstream = "api"
[[routes]]
path = "/scoped"
scopes = ["agents:read"]
upstream = "api"
[[routes]]
path = "/small"
max_body = "10B"
upstream = "api"
"#;

/// A gateway with those routes, and a key that opens them.
fn open(origin: &Origin) -> (TestGateway, MintedKey) {
    open_with(origin, "")
}

fn open_with(origin: &Origin, config: &str) -> (TestGateway, MintedKey) {
    let setup = TestGateway::with(TestStore::sqlite()).config(OPEN).config(config);
    let gateway = setup.upstream("api", origin).start();
    let key = gateway.key("--name a");
    (gateway, key)
}

/// The fields that give a key.
fn with(key: &MintedKey) -> [(&'static str, &str); 1] {
    [("x-api-key", key.secret())]
}
