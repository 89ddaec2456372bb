//! The process's own log, on standard error: what happened to the gateway, not to requests.

use std::io::{self, IsTerminal as _};

use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// What is logged where nothing else is asked for: sqlx tells of every statement at `info`.
const DEFAULT_FILTER: &str = "info,sqlx=warn";

/// The filter is not one.
#[derive(Debug, Error)]
#[error(
    "a log filter is a level (error, warn, info, debug, trace) or a list like info,keygate::auth=debug: {0}"
)]
pub struct FilterError(String);

/// Begins to log: text where standard error is a terminal, otherwise a JSON object a line.
///
/// `filter` is a comma-separated list of levels, each for everything or, as `module=level`, for one
/// module. Where a log is being written already, nothing changes.
pub fn init(filter: Option<&str>) -> Result<(), FilterError> {
    let filter = parse(filter)?;
    let terminal = io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(terminal)
        .with_target(false);
    // It fails only where a log is being written already.
    let _ = if terminal {
        builder.try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    Ok(())
}

fn parse(filter: Option<&str>) -> Result<EnvFilter, FilterError> {
    let given = filter.filter(|filter| !filter.trim().is_empty()).unwrap_or(DEFAULT_FILTER);
    EnvFilter::try_new(given).map_err(|error| FilterError(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_a_list_and_none_is_the_default() {
        assert_eq!(parse(Some("debug")).unwrap().to_string(), "debug");
        assert!(parse(Some("info,keygate::auth=debug")).is_ok());
        for unset in [None, Some(""), Some(" ")] {
            assert!(parse(unset).unwrap().to_string().contains("info"));
        }
        let error = parse(Some("keygate=loudly")).unwrap_err().to_string();
        assert!(error.starts_with("a log filter is a level"), "{error}");
    }
}
