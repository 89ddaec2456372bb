//! Keys under others.

use async_trait::async_trait;

use super::Result;
use crate::domain::{Act, Key, Secret};

/// What is asked of keys with their ancestors and descendants.
#[async_trait]
pub trait Family {
    /// Makes a key under its parent as [`super::Store::create_key`] does, unless so many live already
    /// under any key above it; whether there was room.
    async fn create_child(&self, act: &Act, key: &Key, secret: &Secret, most: u32) -> Result<bool>;
}
