//! Counting requests: exact sliding windows per key and route; and failed attempts and connections
//! per address.
//!
//! Windows are one instance's own, or, with Redis, all instances' ([`shared`]).
//!
//! The one rule: in any window of a limit's length, wherever it begins, no more than the limit
//! pass. Time is an argument everywhere: `now_ms`, milliseconds of a monotonic clock from any
//! origin, the same for all callers. Which limits hold for a request is for its caller to say.

pub mod connections;
pub mod counters;
pub mod failed;
pub mod shared;
pub mod window;
mod windows;

pub use connections::ConnectionCounts;
pub use counters::{Exceeded, KeyCounters};
pub use failed::{FailedAuth, network};
pub use shared::{RedisClient, RedisSetupError, SharedLimits};
pub use window::{SlidingWindow, Standing};
pub use windows::RouteId;
