//! The process's own log, on standard error: what happened to the gateway, not to requests.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Begins to log at `level` (`info` where it is none: an `env_logger`-style filter) as text, or
/// as JSON lines. A second call changes nothing.
pub fn init(filter: Option<&str>, json: bool) {
    let filter = EnvFilter::new(filter.unwrap_or("info,sqlx=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    // It fails only where a log is being written already.
    let _ = if json { builder.json().try_init() } else { builder.try_init() };
}
