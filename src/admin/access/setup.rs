//! The way in while there is no token yet: a code that is told to who starts keygate, and nobody else.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::TryRng as _;
use rand::rngs::{SysError, SysRng};
use tokio::time::Instant;

use crate::key::SecretText;
use crate::key::hash::{Digest, DigestKey};
use crate::key::hex;

/// How long the code is good.
const LASTS: Duration = Duration::from_mins(15);

/// Whether somebody may make the first token. The code is in memory only, and of it a digest.
#[derive(Default)]
pub(super) struct Setup(Mutex<Option<Offer>>);

struct Offer {
    code: Digest,
    until: Instant,
}

impl Setup {
    /// Offers it from now on; the code. One that was offered before is not good any more.
    pub(super) fn offer(&self, digests: &DigestKey) -> Result<SecretText, SysError> {
        let mut bits = [0u8; 16];
        SysRng.try_fill_bytes(&mut bits)?;
        let text = SecretText::new(hex::encode(&bits));
        let code = digests.digest(text.expose().as_bytes());
        *self.lock() = Some(Offer { code, until: Instant::now() + LASTS });
        Ok(text)
    }

    /// Whether it is offered now.
    pub(super) fn is_offered(&self) -> bool {
        self.lock().as_ref().is_some_and(|offer| Instant::now() < offer.until)
    }

    /// Whether that is the code, and it is offered. Takes as long whatever is wrong with it.
    pub(super) fn is(&self, code: &str, digests: &DigestKey) -> bool {
        let digest = digests.digest(code.as_bytes());
        let offered = self.lock();
        offered.as_ref().is_some_and(|it| it.code.matches(&digest) && Instant::now() < it.until)
    }

    /// Offers it no more.
    pub(super) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Offer>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_code_is_good_for_a_quarter_of_an_hour_and_once() {
        let (setup, digests) = (Setup::default(), DigestKey::random().unwrap());
        assert!(!setup.is_offered() && !setup.is("", &digests));
        let code = setup.offer(&digests).unwrap();
        assert!(setup.is(code.expose(), &digests));
        assert!(!setup.is(&code.expose()[1..], &digests) && !setup.is("", &digests));
        advance(Duration::from_secs(899)).await;
        assert!(setup.is(code.expose(), &digests));
        advance(Duration::from_secs(1)).await;
        assert!(!setup.is_offered() && !setup.is(code.expose(), &digests));
        let newer = setup.offer(&digests).unwrap();
        assert!(!setup.is(code.expose(), &digests) && setup.is(newer.expose(), &digests));
        setup.close();
        assert!(!setup.is(newer.expose(), &digests));
    }
}
