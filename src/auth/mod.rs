//! From a string to a key that may call: the key table, verification, minting.

pub mod mint;
pub mod view;
