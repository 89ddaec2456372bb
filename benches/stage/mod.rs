//! What the benchmarks that run real gateways share: stores, instances, load, and what is printed.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod cpu;
pub mod filled;
pub mod load;
pub mod outcome;
pub mod pinned;
pub mod plans;
pub mod report;
pub mod runs;
pub mod site;
