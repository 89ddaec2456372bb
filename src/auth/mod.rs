//! From a string to a key that may call: the key table, verification, minting.
//!
//! The one rule: a request of a known key is decided from memory alone. The store and Argon2 are
//! asked only for what is not known yet, and at a bounded rate.

pub mod cache_mac;
pub mod flush;
pub mod mint;
pub mod once;
pub mod pool;
pub mod seal;
pub mod sync;
pub mod table;
pub mod verify;
pub mod view;

pub use verify::{Authenticator, Verified};
