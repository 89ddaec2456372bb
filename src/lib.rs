//! keygate: an API-key gateway. See `docs/architecture.md` for the map of this crate.

pub mod config;
pub mod domain;
pub mod key;
pub mod store;
