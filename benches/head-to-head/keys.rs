//! The keys that all proxies let in, and the request that each of them makes.

use anyhow::{Context as _, Result};
use keygate::domain::{Environment, KeyId, PublicId};
use keygate::key::{SecretFormat, SecretText};

/// One key and what its holder sends.
pub struct Key {
    /// What the proxy tells the upstream.
    pub id: KeyId,
    /// The public part of its secret.
    pub public_id: PublicId,
    /// Prefix and public part.
    pub hint: String,
    /// What the client shows.
    pub secret: SecretText,
    /// The whole request on the wire.
    pub request: Vec<u8>,
}

/// All keys of a run.
pub struct Keys(pub Vec<Key>);

impl Keys {
    /// Mints so many keys as keygate does.
    pub fn mint(count: u32) -> Result<Self> {
        let format =
            SecretFormat { live_prefix: "sk_live_".to_owned(), test_prefix: None, checksum: true };
        (0..count)
            .map(|_| {
                let minted = format.mint(Environment::Live)?.context("live keys have a prefix")?;
                let request = request(Some(minted.text.expose()));
                Ok(Key {
                    id: KeyId::mint(),
                    public_id: minted.id,
                    hint: minted.hint,
                    secret: minted.text,
                    request,
                })
            })
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Each key's request once, in order.
    pub fn requests(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|key| key.request.as_slice())
    }

    /// Requests of keys taken at random, without end; the same order in every run.
    pub fn random_requests(&self) -> impl Iterator<Item = &[u8]> {
        // Marsaglia's xorshift with the shifts 13, 7, 17: cheap, and even enough to defeat caches.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let place = state % self.0.len() as u64;
            self.0[place as usize].request.as_slice()
        })
    }
}

/// The request with this secret, or without any.
pub fn request(secret: Option<&str>) -> Vec<u8> {
    let credential = secret.map_or(String::new(), |s| format!("Authorization: Bearer {s}\r\n"));
    format!(
        "GET /v1/items/42 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: head-to-head\r\n\
         Accept: application/json\r\n{credential}\r\n"
    )
    .into_bytes()
}
