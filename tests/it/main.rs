//! The one integration-test binary: every module states rules of one part, on the real binary or
//! the real stores.
#![cfg(test)]

mod cli;
mod demo;
mod documents;
mod imports;
mod store;
mod support;
