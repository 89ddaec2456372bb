//! The keys that all proxies let in, and the request that each of them makes.

use anyhow::{Context as _, Result, ensure};
use keygate::domain::{Environment, KeyId, PublicId};
use keygate::key::{SecretFormat, SecretText};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CHECKSUM: usize = 6;

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

impl Key {
    fn mint() -> Result<Self> {
        let minted = format().mint(Environment::Live)?.context("live keys have a prefix")?;
        Ok(Self {
            id: KeyId::mint(),
            public_id: minted.id,
            hint: minted.hint,
            request: request(Some(minted.text.expose())),
            secret: minted.text,
        })
    }
}

impl Keys {
    /// Mints so many keys as keygate does.
    pub fn mint(count: u32) -> Result<Self> {
        (0..count).map(|_| Key::mint()).collect::<Result<_>>().map(Self)
    }

    /// Requests with secrets that are well-formed and nobody's.
    pub fn unknown_requests(count: u32) -> Result<Vec<Vec<u8>>> {
        (0..count).map(|_| Ok(Key::mint()?.request)).collect()
    }

    /// For each key a request with a well-formed secret that has its public id and is not its own.
    pub fn wrong_requests(&self) -> Result<Vec<Vec<u8>>> {
        let wrong = |key: &Key| -> Result<Vec<u8>> {
            let own = key.secret.expose();
            let (known, checksum) = (key.hint.len(), own.len() - CHECKSUM);
            let random: String = own[known..checksum].chars().rev().collect();
            let text = format!("{}{random}", &own[..known]);
            let wrong = format!("{text}{}", checksum_of(&text));
            let parsed = format().parse(wrong.as_bytes());
            ensure!(
                parsed.is_some_and(|parsed| parsed.id == key.public_id),
                "it is not well-formed"
            );
            Ok(request(Some(&wrong)))
        };
        self.0.iter().map(wrong).collect()
    }

    /// Each key's request once, in order.
    pub fn requests(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|key| key.request.as_slice())
    }

    /// Requests of keys taken at random, without end; the same order in every run.
    pub fn random_requests(&self) -> impl Iterator<Item = &[u8]> {
        self.random_places().map(|place| self.0[place].request.as_slice())
    }

    /// The places of keys taken so.
    pub fn random_places(&self) -> impl Iterator<Item = usize> {
        let keys = self.0.len() as u64;
        // Marsaglia's xorshift with the shifts 13, 7, 17: cheap, and even enough to defeat caches.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        std::iter::repeat_with(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % keys) as usize
        })
    }
}

fn format() -> SecretFormat {
    SecretFormat { live_prefix: "sk_live_".to_owned(), test_prefix: None, checksum: true }
}

/// CRC-32 in base62, most significant first (docs/security.md tells the shape of secrets).
fn checksum_of(text: &str) -> String {
    let crc = crc32fast::hash(text.as_bytes()) as usize;
    let places = (0..CHECKSUM as u32).rev();
    places.map(|place| char::from(BASE62[crc / 62_usize.pow(place) % 62])).collect()
}

/// A request with this secret that brings so many bytes.
pub fn upload(secret: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "POST /v1/items HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: head-to-head\r\n\
         Authorization: Bearer {secret}\r\nContent-Type: application/octet-stream\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    let mut upload = head.into_bytes();
    upload.resize(upload.len() + length, b'x');
    upload
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
