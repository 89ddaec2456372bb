//! What the gateway tells of itself: metrics, the access log, the process log.
//!
//! The one rule: no secret ever passes here. Metrics carry no label whose values grow with the
//! number of keys, and the access log masks whatever has the form of one.

pub mod access;
pub mod history;
pub mod log;
pub mod metrics;
