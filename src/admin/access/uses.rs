//! When tokens and sessions were last used: to the minute, and without anybody waiting for it.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::known::Known;
use crate::domain::{AdminSession, AdminToken};
use crate::store::{self, Store};

/// Times of use are kept to the minute.
const NOTED: SignedDuration = SignedDuration::from_mins(1);

/// What was noted last, by id.
#[derive(Default)]
pub(super) struct Uses(Known<String, Timestamp>);

impl Uses {
    /// A token was used.
    pub(super) fn token(&self, token: &AdminToken, store: &Arc<dyn Store>, now: Timestamp) {
        if self.is_due(token.id.as_str(), token.last_used_at, now) {
            let (store, id) = (Arc::clone(store), token.id.clone());
            write(async move { store.note_token_use(&id, now).await });
        }
    }

    /// A session was used.
    pub(super) fn session(&self, session: &AdminSession, store: &Arc<dyn Store>, now: Timestamp) {
        if self.is_due(session.id.as_str(), Some(session.last_used_at), now) {
            let (store, id) = (Arc::clone(store), session.id.clone());
            write(async move { store.note_session_use(&id, now).await });
        }
    }

    /// Whether it is to be written: once a minute, however many requests come in it.
    fn is_due(&self, id: &str, last: Option<Timestamp>, now: Timestamp) -> bool {
        let is_old = |last: Timestamp| now.duration_since(last) >= NOTED;
        if !last.is_none_or(is_old) || self.0.has(&id.to_owned(), |noted| !is_old(*noted)) {
            return false;
        }
        // Of several requests that came this far at once, one has put it in.
        self.0.remember(id.to_owned(), now).is_none_or(is_old)
    }
}

fn write(noted: impl Future<Output = store::Result<()>> + Send + 'static) {
    tokio::spawn(async move {
        if let Err(error) = noted.await {
            tracing::debug!(%error, "a last use on the admin plane was not noted");
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_written_once_a_minute() {
        let uses = Uses::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(uses.is_due("adm_1", None, at(100)));
        assert!(!uses.is_due("adm_1", None, at(159)), "it is being written");
        assert!(uses.is_due("adm_2", None, at(159)), "another one");
        assert!(uses.is_due("adm_1", Some(at(100)), at(160)));
        assert!(!uses.is_due("adm_3", Some(at(120)), at(160)), "another instance has noted it");
    }
}
