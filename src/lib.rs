//! keygate: an API-key gateway. See `docs/architecture.md` for the map of this crate.

pub mod admin;
pub mod auth;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod domain;
pub mod gateway;
pub mod key;
pub mod limit;
pub mod proxy;
pub mod rotation;
pub mod self_service;
pub mod spend;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod usage;
pub mod webhooks;
