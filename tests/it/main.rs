//! The one integration-test binary: every module states rules of one part, on the real binary or
//! the real stores.
#![cfg(test)]

mod imports;
mod cli;
mod documents;
mod store;
mod support;
