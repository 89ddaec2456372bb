//! What the admin plane learns of the running process.

mod config;
mod explain;
mod limits;
mod reasons;
mod refusals;
mod traffic;
mod upstreams;

use serde_json::Value;

use crate::support::admin::AdminToken;
use crate::support::{Answer, Origin, TestGateway, TestStore, leaks};

const TABLES: &str = r#"
[limits]
per_key = ["1000/min"]
[scopes]
"notes:read" = "Read notes"
"notes:write" = "Write notes"
[self_service]
enabled = true
"#;
const ROUTES: &str = r#"
[[routes]]
path = "/any"
upstream = "api"
[[routes]]
path = "/open"
methods = ["GET", "POST"]
public = true
max_body = "1KiB"
upstream = "api"
[[routes]]
path = "/both"
scopes = ["notes:read", "notes:write"]
upstream = "api"
[[routes]]
path = "/paid"
cost = "0.001"
upstream = "api"
[[routes]]
path = "/limited"
limits = ["1/min"]
upstream = "api"
[[routes]]
path = "/live"
allow_test_keys = false
upstream = "api"
[[routes]]
path = "/small"
max_body = "1KiB"
upstream = "api"
"#;

/// A gateway and an administrator of it.
struct Scene {
    gateway: TestGateway,
    admin: AdminToken,
}

impl Scene {
    /// `config` may have routes of its own beside the usual ones.
    fn of(origin: &Origin, config: &str) -> Self {
        let gateway = TestGateway::with(TestStore::sqlite())
            .config(TABLES)
            .config(&format!("{config}\n{ROUTES}"))
            .upstream("api", origin)
            .start();
        let admin = gateway.admin_token("--name ops");
        Self { gateway, admin }
    }

    /// What a path under `/admin/v1` says; no secret stands in it.
    #[track_caller]
    fn seen(&self, path: &str) -> Value {
        let seen = self.gateway.seen(&self.admin, &format!("/admin/v1/{path}"));
        leaks::search("what the admin API says", seen.to_string().as_bytes());
        seen
    }

    fn asked(&self, path: &str) -> Answer {
        self.gateway.as_admin(&self.admin, &format!("/admin/v1/{path}")).send()
    }

    fn sent(&self, path: &str, body: &Value) -> Answer {
        self.gateway.sent(&self.admin, "POST", &format!("/admin/v1/{path}"), body)
    }
}

/// The last check of what was explained.
fn last_check(explained: &Value) -> &Value {
    explained["checks"].as_array().and_then(|checks| checks.last()).expect("a check was made")
}
