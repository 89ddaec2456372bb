//! What a secret looks like and how it is kept: its form, its hash, its digest.
//!
//! The one rule: a secret's text lives in a [`SecretText`], which cannot be printed and is wiped
//! when it is dropped. Who a secret belongs to is `auth`'s to say.

pub(crate) mod base64;
mod cache_key;
pub mod format;
pub mod hash;
pub(crate) mod hex;
mod signing;

pub use cache_key::{CacheKeyError, CacheKeys};
pub use format::{Parsed, SecretFormat, SecretText};
pub use signing::SigningSecret;
