//! What the tests stand on: the real binary, the real curl, real stores, and a scripted upstream.
//!
//! The one rule: whatever a gateway or a command says is searched for every secret that the run
//! has minted ([`leaks`]), so that each test is also a test of silence.

pub(crate) mod admin;
pub(crate) mod browser;
pub(crate) mod bulk;
pub(crate) mod curl;
pub(crate) mod database;
pub(crate) mod endless;
pub(crate) mod ends;
pub(crate) mod gateway;
pub(crate) mod installation;
pub(crate) mod leaks;
pub(crate) mod link;
pub(crate) mod load;
pub(crate) mod message;
pub(crate) mod metrics;
pub(crate) mod modern;
pub(crate) mod origin;
pub(crate) mod postgres;
pub(crate) mod process;
pub(crate) mod redis;
mod tests;
pub(crate) mod tls;
pub(crate) mod wire;

use std::time::Duration;

use tokio::time::Instant;

pub(crate) use browser::Browser;
pub(crate) use curl::Answer;
pub(crate) use database::{Kind, TestStore};
pub(crate) use gateway::TestGateway;
pub(crate) use installation::MintedKey;
pub(crate) use link::Link;
pub(crate) use origin::Origin;
pub(crate) use redis::Redis;
pub(crate) use wire::Wire;

/// The longest that anything awaited may take; only a failure ever takes it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two questions about the same thing.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// Asks until the answer is yes.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "in vain waited until {what}");
        std::thread::park_timeout(ASK_AGAIN);
    }
}

/// Runs what the stores' libraries offer as futures.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be made").block_on(future)
}

/// Says that a test is skipped for want of a Debian package; in CI that fails it.
pub(crate) fn skipped(what: &str, package: &str) {
    #[expect(clippy::disallowed_methods, reason = "this is no part of the configuration")]
    let in_ci = std::env::var_os("CI").is_some();
    assert!(!in_ci, "CI needs Debian's {package}");
    // Not by a print macro, whose words a passing test keeps to itself.
    let word = format!("skipped: no {what} is installed (apt-get install {package})\n");
    let _ = std::io::Write::write_all(&mut std::io::stderr(), word.as_bytes());
}
