//! The data plane, as clients and upstreams see it.

mod access_log;
mod answers;
mod bounds;
mod cors;
mod credentials;
mod differential;
mod ended_keys;
mod expect;
mod flood;
mod forward;
mod http2_upstreams;
mod limits;
mod routes;
mod streams;
mod targets;
mod tls_upstreams;
mod trailers;
mod upstreams;
mod websocket;

use crate::support::{Origin, TestGateway, TestStore};

/// One route that any key opens, to one upstream.
const OPEN: &str = r#"
[limits]
per_key = ["1000000/min"]
[scopes]
"agents:read" = "Read agent information"
"agents:write" = "Change agents"
[[routes]]
path = "/**"
upstream = "api"
"#;

/// A gateway with that one route.
fn open(origin: &Origin) -> TestGateway {
    TestGateway::with(TestStore::sqlite()).config(OPEN).upstream("api", origin).start()
}
