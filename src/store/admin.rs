//! Admin tokens and the dashboard's sessions.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{Page, PageRequest, Result};
use crate::domain::{Act, AdminSession, AdminToken, AdminTokenId, PublicId, SessionId};

/// Who may come in by the admin plane, kept.
#[async_trait]
pub trait AdminAccess {
    /// Makes a token.
    async fn create_token(&self, act: &Act, token: &AdminToken) -> Result<()>;
    /// Makes the first token; whether it is the first. Of several at once one is.
    async fn create_first_token(&self, act: &Act, token: &AdminToken) -> Result<bool>;
    /// Whether there was ever a token.
    async fn has_tokens(&self) -> Result<bool>;
    /// The token with these public characters, however it stands.
    async fn token_by_public_id(&self, id: PublicId) -> Result<Option<AdminToken>>;
    /// The token of that id, however it stands.
    async fn token(&self, id: &AdminTokenId) -> Result<Option<AdminToken>>;
    /// Tokens, newest first.
    async fn tokens(&self, page: &PageRequest) -> Result<Page<AdminToken>>;
    /// Ends a token for good, and its sessions with it; whether there was one to end.
    async fn revoke_token(&self, act: &Act, id: &AdminTokenId) -> Result<bool>;
    /// Notes when a token was last used; never moves a time back. Takes no turn among the
    /// writers.
    async fn note_token_use(&self, id: &AdminTokenId, at: Timestamp) -> Result<()>;

    /// Begins a session.
    async fn create_session(&self, act: &Act, session: &AdminSession) -> Result<()>;
    /// The session whose digest that is, with its token, however both stand.
    async fn session(&self, digest: &str) -> Result<Option<(AdminSession, AdminToken)>>;
    /// Sessions that have not ended by `now`, newest first.
    async fn sessions(
        &self,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<(AdminSession, AdminToken)>>;
    /// Notes when a session was last used; never moves a time back. Takes no turn among the
    /// writers.
    async fn note_session_use(&self, id: &SessionId, at: Timestamp) -> Result<()>;
    /// Ends a session; whether there was one.
    async fn end_session(&self, act: &Act, id: &SessionId) -> Result<bool>;
    /// Removes the sessions that had ended by `now`; how many.
    async fn prune_sessions(&self, now: Timestamp) -> Result<u64>;
}
