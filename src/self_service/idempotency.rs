//! A creation that happens once, however often it is asked for under the same `Idempotency-Key`.
//!
//! The answer, which holds a secret, is kept for a day, encrypted under a key that is made of the
//! secret which the asker presented and that nobody keeps: who has the store alone reads nothing.
//! Before anything is done the name is claimed. A claim of which nobody knows what became of it (the
//! process died, or the store did not say) stays: a second creation would be worse than none.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key, Tag};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::refused::{conflict, of_store};
use super::{Answered, Asked, Outcome};
use crate::auth::mint::Mint;
use crate::domain::{Reason, Refusal};
use crate::key::SecretText;
use crate::key::hex;
use crate::store::{Claim, Claimed};

/// How long an answer is given again.
pub(super) const KEPT: SignedDuration = SignedDuration::from_hours(24);

/// A name under which something is to happen once, with the secret of who gave it.
pub struct Once {
    /// 1 to 255 visible characters.
    pub name: String,
    /// As it was presented.
    pub secret: SecretText,
}

/// What one asker's one name is kept under.
struct Seal {
    claim: Claim,
    key: Tag,
}

/// Does it, unless it was done; then gives the same answer. `doing` has not begun yet.
pub(super) async fn once(
    mint: Mint<'_>,
    asked: &Asked,
    name: &Once,
    doing: impl Future<Output = Outcome>,
) -> Outcome {
    let (seal, now) = (Seal::of(asked, name), mint.clock.now());
    let kept_since = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
    match mint.store.claim_answer(&seal.claim, now, kept_since).await.map_err(of_store)? {
        Claimed::Now => {}
        Claimed::Before { request, .. } if request != seal.claim.request => {
            return Err(conflict("this Idempotency-Key was used for another request"));
        }
        Claimed::Before { answer: None, .. } => {
            return Err(conflict(
                "a request with this Idempotency-Key is under way, or nobody knows what became of it",
            ));
        }
        Claimed::Before { answer: Some((status, sealed)), .. } => {
            let opened =
                seal.open(&sealed).and_then(|body| Some((u16::try_from(status).ok()?, body)));
            let (status, body) =
                opened.ok_or_else(|| conflict("the answer can't be given to this secret"))?;
            return Ok(Answered { status, body });
        }
    }
    let outcome = doing.await;
    let noted = match &outcome {
        Ok(answer) => {
            let sealed = seal.seal(&answer.body)?;
            mint.store.keep_answer(&seal.claim, i64::from(answer.status), &sealed).await
        }
        Err(refusal) if is_undecided(refusal) => Ok(()),
        Err(_) => mint.store.let_claim_go(&seal.claim).await,
    };
    if let Err(error) = noted {
        tracing::warn!(%error, "what came of a request with an Idempotency-Key is not on record");
    }
    outcome
}

/// Whether it may have been done all the same.
fn is_undecided(refusal: &Refusal) -> bool {
    matches!(refusal.reason(), Reason::StoreUnavailable | Reason::InternalError)
}

impl Seal {
    fn of(asked: &Asked, once: &Once) -> Self {
        let caller = asked.caller.id().clone();
        let root = Key::new(HMAC_SHA256, once.secret.expose().as_bytes());
        let named = [caller.as_str().as_bytes(), once.name.as_bytes()];
        let key = mac(&root, b"keygate idempotency: answer", &named);
        let requests =
            Key::new(HMAC_SHA256, mac(&root, b"keygate idempotency: request", &named).as_ref());
        let call = asked.call.path().as_bytes();
        let request = hex::encode(mac(&requests, b"request", &[call, &asked.body]).as_ref());
        let name = blake3::hash(once.name.as_bytes()).to_hex().to_string();
        Self { claim: Claim { asker: caller, name, request }, key }
    }

    /// The nonce, and behind it what was encrypted, in hex.
    fn seal(&self, body: &[u8]) -> Outcome<String> {
        let broken = |_| {
            tracing::error!("an answer could not be encrypted");
            Refusal::from(Reason::InternalError)
        };
        let mut sealed = body.to_vec();
        let cipher = self.cipher().map_err(broken)?;
        let nonce = cipher.seal_in_place_append_tag(self.bound(), &mut sealed).map_err(broken)?;
        Ok(format!("{}{}", hex::encode(nonce.as_ref()), hex::encode(&sealed)))
    }

    /// `None`: it was sealed by another secret, or changed since.
    fn open(&self, sealed: &str) -> Option<Bytes> {
        let bytes = hex::decode(sealed)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN)?;
        let (nonce, mut body) = (Nonce::try_assume_unique_for_key(nonce).ok()?, sealed.to_vec());
        let opened = self.cipher().ok()?.open_in_place(nonce, self.bound(), &mut body).ok()?;
        Some(Bytes::copy_from_slice(opened))
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, Unspecified> {
        RandomizedNonceKey::new(&AES_256_GCM, self.key.as_ref())
    }

    /// What an answer belongs to: it opens in no other place.
    fn bound(&self) -> Aad<String> {
        let Claim { asker, name, request } = &self.claim;
        Aad::from(format!("{asker} {name} {request}"))
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
