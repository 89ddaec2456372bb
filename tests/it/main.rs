//! The one integration-test binary: every module states rules of one part, on the real binary or
//! the real stores.
#![cfg(test)]

mod cli;
<<<<<<< HEAD
mod documents;
=======
mod demo;
>>>>>>> cli
mod imports;
mod store;
mod support;
