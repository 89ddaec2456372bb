//! A creation that happens once, however often it is asked for under the same `Idempotency-Key`.
//!
//! The answer, which may hold a secret, is kept for a day, encrypted under a key that is made of the
//! credential which the asker presented and that nobody keeps: who has the store alone reads nothing.
//! Before anything is done the name is claimed. A claim of which nobody knows what became of it (the
//! process died, or the store did not say) stays: a second creation would be worse than none.

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key, Tag};
use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use super::seal::Seal;
use crate::key::SecretText;
use crate::key::hex;
use crate::store::{Claim, Claimed, Store, StoreError};

/// How long an answer is given again.
pub const KEPT: SignedDuration = SignedDuration::from_hours(24);
/// Where the name is given.
pub const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The longest name.
const LONGEST_NAME: usize = 255;

/// A name under which something is to happen once, with the credential of who gave it.
pub struct Once {
    name: String,
    credential: SecretText,
}

/// What is asked for: the same under one name, or refused.
pub struct Wish<'a> {
    /// Who asks: an id.
    pub asker: &'a str,
    /// By which call: its path.
    pub call: &'a str,
    /// With which body.
    pub body: &'a [u8],
}

/// Whose turn it is.
pub enum Turn {
    /// The asker's: what comes of it is to be kept, or let go.
    Yours(Promise),
    /// It was done before, and answered so.
    Done {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: Bytes,
    },
}

/// That something is being done under its name.
pub struct Promise {
    claim: Claim,
    key: Tag,
}

/// Why it is not done.
#[derive(Debug, Error)]
pub enum OnceError {
    /// The name was used before.
    #[error("this Idempotency-Key was used for another request")]
    Another,
    /// Or by a process that died.
    #[error("a request with this Idempotency-Key is under way, or nobody knows what became of it")]
    UnderWay,
    /// It was asked for with another credential.
    #[error("the answer can't be given to this secret")]
    NotYours,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Idempotency-Key must be given once, of 1 to 255 visible ASCII characters")]
pub struct NameError;

impl Once {
    /// As the headers say, by who presented that credential; `None`: they do not ask for it.
    pub fn of(headers: &HeaderMap, credential: &[u8]) -> Result<Option<Self>, NameError> {
        let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let visible = value.as_bytes().iter().all(u8::is_ascii_graphic);
        let name = value.to_str().ok().filter(|name| {
            visible && (1..=LONGEST_NAME).contains(&name.len()) && values.next().is_none()
        });
        let name = name.ok_or(NameError)?.to_owned();
        let credential = SecretText::new(String::from_utf8_lossy(credential).into_owned());
        Ok(Some(Self { name, credential }))
    }

    /// Claims the name for the wish, unless it was done before.
    pub async fn begin(
        &self,
        store: &dyn Store,
        wish: &Wish<'_>,
        now: Timestamp,
    ) -> Result<Turn, OnceError> {
        let promise = Promise::new(self, wish);
        let kept_since = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        match store.claim_answer(&promise.claim, now, kept_since).await? {
            Claimed::Now => Ok(Turn::Yours(promise)),
            Claimed::Before { request, .. } if request != promise.claim.request => {
                Err(OnceError::Another)
            }
            Claimed::Before { answer: None, .. } => Err(OnceError::UnderWay),
            Claimed::Before { answer: Some((status, sealed)), .. } => {
                let opened = promise.open(&sealed).zip(u16::try_from(status).ok());
                let (body, status) = opened.ok_or(OnceError::NotYours)?;
                Ok(Turn::Done { status, body })
            }
        }
    }
}

impl Promise {
    fn new(once: &Once, wish: &Wish<'_>) -> Self {
        let root = Key::new(HMAC_SHA256, once.credential.expose().as_bytes());
        let named = [wish.asker.as_bytes(), once.name.as_bytes()];
        let key = mac(&root, b"keygate idempotency: answer", &named);
        let requests =
            Key::new(HMAC_SHA256, mac(&root, b"keygate idempotency: request", &named).as_ref());
        let request = mac(&requests, b"request", &[wish.call.as_bytes(), wish.body]);
        let claim = Claim {
            asker: wish.asker.to_owned(),
            name: blake3::hash(once.name.as_bytes()).to_hex().to_string(),
            request: hex::encode(request.as_ref()),
        };
        Self { claim, key }
    }

    /// Keeps what came of it, to be given again.
    pub async fn keep(&self, store: &dyn Store, status: u16, body: &[u8]) {
        let sealed = Seal::new(self.key.as_ref()).and_then(|seal| seal.seal(&self.about(), body));
        match sealed {
            Ok(sealed) => {
                told(store.keep_answer(&self.claim, i64::from(status), &sealed).await);
            }
            Err(error) => tracing::error!(%error, "an answer could not be kept"),
        }
    }

    /// Gives the name up: nothing came of it.
    pub async fn let_go(&self, store: &dyn Store) {
        told(store.let_claim_go(&self.claim).await);
    }

    fn open(&self, sealed: &str) -> Option<Bytes> {
        let opened = Seal::new(self.key.as_ref()).ok()?.open(&self.about(), sealed).ok()?;
        Some(Bytes::copy_from_slice(&opened))
    }

    /// What an answer belongs to: it opens in no other place.
    fn about(&self) -> String {
        let Claim { asker, name, request } = &self.claim;
        format!("{asker} {name} {request}")
    }
}

fn told(noted: Result<(), StoreError>) {
    if let Err(error) = noted {
        tracing::warn!(%error, "what came of a request with an Idempotency-Key is not on record");
    }
}

/// Of parts that are told apart wherever one ends.
fn mac(key: &Key, purpose: &[u8], parts: &[&[u8]]) -> Tag {
    let mut context = Context::with_key(key);
    context.update(purpose);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    context.sign()
}
