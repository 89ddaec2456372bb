//! Where connections come in: who is calling, and over what.

mod client_address;
mod connections;
mod proxy_protocol;
mod redirect;
mod scan;
mod tls;

use crate::support::installation::Setup;
use crate::support::{Origin, TestGateway, TestStore};

/// One route that any key opens, to one upstream.
const OPEN: &str = r#"
[limits]
per_key = ["1000000/min"]
[[routes]]
path = "/**"
upstream = "api"
"#;

/// A gateway to be with that one route.
fn setup(origin: &Origin) -> Setup {
    TestGateway::with(TestStore::sqlite()).config(OPEN).upstream("api", origin)
}
