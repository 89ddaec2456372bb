//! What the benchmarks that drive real processes share.

#![allow(dead_code, reason = "each benchmark uses its part")]

pub mod cores;
pub mod peer;
pub mod upstream;
