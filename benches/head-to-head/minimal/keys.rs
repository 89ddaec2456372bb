//! Who may call, and how often.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use http::HeaderValue;

const WINDOW: Duration = Duration::from_mins(1);

/// All keys by their secrets.
pub struct Keys {
    by_secret: HashMap<Vec<u8>, Key>,
    limit: u32,
    begun: Instant,
}

/// One key and what it has used.
pub struct Key {
    /// As the upstream is told it.
    pub id: HeaderValue,
    /// The last window in which it called, counted from the start, and how often.
    used: Cell<(u64, u32)>,
}

impl Keys {
    /// Of secrets and ids.
    pub fn new(keys: Vec<(String, String)>, limit: u32) -> Result<Self> {
        let by_secret = keys.into_iter().map(|(secret, id)| -> Result<_> {
            Ok((secret.into_bytes(), Key { id: id.try_into()?, used: Cell::default() }))
        });
        let by_secret = by_secret.collect::<Result<_>>()?;
        Ok(Self { by_secret, limit, begun: Instant::now() })
    }

    /// Whose secret it is.
    pub fn find(&self, secret: &[u8]) -> Option<&Key> {
        self.by_secret.get(secret)
    }

    /// Counts a request; whether it is within the limit.
    pub fn count(&self, key: &Key) -> bool {
        let window = self.begun.elapsed().as_secs() / WINDOW.as_secs();
        let (last, used) = key.used.get();
        let used = if last == window { used } else { 0 };
        let within = used < self.limit;
        key.used.set((window, used + u32::from(within)));
        within
    }
}
