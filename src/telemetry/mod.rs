//! What the gateway tells of itself: metrics and logs. No secret ever passes here.

pub mod access_log;
pub mod logs;
pub mod metrics;
