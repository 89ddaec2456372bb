//! The one integration-test binary: every module states rules of one part, on the real binary or
//! the real stores.
#![cfg(test)]

mod admin;
mod changes;
mod children;
mod cli;
mod cluster;
mod demo;
mod documents;
mod drain;
mod edge;
mod examples;
mod faults;
mod http2;
mod imports;
mod proxy;
mod raw;
mod reload;
mod restart;
mod rotation;
mod secrets;
mod self_service;
mod shared_limits;
mod spend;
mod store;
mod support;
mod upgrade;
mod usage;
mod webhooks;
