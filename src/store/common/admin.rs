//! The statements about admin tokens and sessions.

use std::fmt::Display;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::json;
use sqlx::{FromRow, query, query_as};

use super::audit::{Entry, record};
use super::{Command, This, Write};
use crate::domain::{Act, AdminSession, AdminToken, AdminTokenId, PublicId, SessionId};
use crate::store::{AdminAccess, Page, PageRequest, Result, StoreError, list};

/// What is selected of a token.
macro_rules! token_columns {
    () => {
        "t.id AS token_id, t.name, t.role, t.public_id, t.hint, t.phc, \
         t.created_at AS token_created_at, t.expires_at AS token_expires_at, \
         t.last_used_at AS token_last_used_at, t.revoked_at AS token_revoked_at "
    };
}

/// What is selected of a session, whose token has what is above.
macro_rules! session_columns {
    () => {
        concat!(
            "SELECT ",
            token_columns!(),
            ", s.id, s.digest, s.created_at, s.expires_at, s.last_used_at, s.address, s.agent \
             FROM admin_sessions s JOIN admin_tokens t ON t.id = s.token_id "
        )
    };
}

#[derive(FromRow)]
struct TokenRow {
    token_id: String,
    name: String,
    role: String,
    public_id: String,
    hint: String,
    phc: String,
    token_created_at: i64,
    token_expires_at: Option<i64>,
    token_last_used_at: Option<i64>,
    token_revoked_at: Option<i64>,
}

#[derive(FromRow)]
struct SessionRow {
    #[sqlx(flatten)]
    token: TokenRow,
    id: String,
    digest: String,
    created_at: i64,
    expires_at: i64,
    last_used_at: i64,
    address: String,
    agent: String,
}

/// Of a row of that id, which says what cannot be read.
fn corrupt(id: &str, what: impl Display) -> StoreError {
    StoreError::Corrupt(format!("{id}: {what}"))
}

fn time(id: &str, at: i64) -> Result<Timestamp> {
    Timestamp::from_millisecond(at).map_err(|error| corrupt(id, error))
}

impl TokenRow {
    fn read(self) -> Result<AdminToken> {
        let id = self.token_id.as_str();
        let ends = |at: Option<i64>| at.map(|at| time(id, at)).transpose();
        Ok(AdminToken {
            role: self.role.parse().map_err(|()| corrupt(id, "no such role"))?,
            public_id: self.public_id.parse().map_err(|error| corrupt(id, error))?,
            created_at: time(id, self.token_created_at)?,
            expires_at: ends(self.token_expires_at)?,
            last_used_at: ends(self.token_last_used_at)?,
            revoked_at: ends(self.token_revoked_at)?,
            id: AdminTokenId::from_text(id),
            name: self.name,
            hint: self.hint,
            phc: self.phc,
        })
    }
}

impl SessionRow {
    fn read(self) -> Result<(AdminSession, AdminToken)> {
        let Self { token, id, digest, agent, .. } = self;
        let token = token.read()?;
        let session = AdminSession {
            created_at: time(&id, self.created_at)?,
            expires_at: time(&id, self.expires_at)?,
            last_used_at: time(&id, self.last_used_at)?,
            address: self.address.parse().map_err(|error| corrupt(&id, error))?,
            id: SessionId::from_text(id),
            token: token.id.clone(),
            digest,
            agent,
        };
        Ok((session, token))
    }
}

/// `only`: nothing is inserted where there is a token already.
fn insert(token: &AdminToken, only: bool) -> Command<'_> {
    let insert = if only {
        "INSERT INTO admin_tokens (id, name, role, public_id, hint, phc, created_at, expires_at) \
         SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE NOT EXISTS (SELECT 1 FROM admin_tokens)"
    } else {
        "INSERT INTO admin_tokens (id, name, role, public_id, hint, phc, created_at, expires_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
    };
    query(insert)
        .bind(token.id.as_str())
        .bind(&token.name)
        .bind(token.role.name())
        .bind(token.public_id.as_str())
        .bind(&token.hint)
        .bind(&token.phc)
        .bind(token.created_at.as_millisecond())
        .bind(token.expires_at.map(Timestamp::as_millisecond))
}

async fn created(write: &mut Write<'_>, act: &Act, token: &AdminToken) -> Result<()> {
    let after = json!({ "name": token.name, "role": token.role, "expires_at": token.expires_at });
    let entry = Entry::plain("admin_token.create", token.id.as_str());
    record(write, act, Entry { after: Some(after), ..entry }).await
}

#[async_trait]
impl AdminAccess for This {
    async fn create_token(&self, act: &Act, token: &AdminToken) -> Result<()> {
        let mut write = self.connections.write().await?;
        write.run(insert(token, false)).await?;
        created(&mut write, act, token).await?;
        write.commit().await
    }

    async fn create_first_token(&self, act: &Act, token: &AdminToken) -> Result<bool> {
        let mut write = self.connections.write().await?;
        if write.run(insert(token, true)).await? == 0 {
            write.undo().await?;
            return Ok(false);
        }
        created(&mut write, act, token).await?;
        write.commit().await?;
        Ok(true)
    }

    async fn has_tokens(&self) -> Result<bool> {
        let ask = query_as::<_, (bool,)>("SELECT EXISTS (SELECT 1 FROM admin_tokens)");
        Ok(self.connections.all(ask).await?.pop().is_some_and(|row| row.0))
    }

    async fn token_by_public_id(&self, id: PublicId) -> Result<Option<AdminToken>> {
        let ask = query_as::<_, TokenRow>(concat!(
            "SELECT ",
            token_columns!(),
            "FROM admin_tokens t WHERE t.public_id = $1"
        ));
        let row = self.connections.all(ask.bind(id.as_str())).await?.pop();
        row.map(TokenRow::read).transpose()
    }

    async fn token(&self, id: &AdminTokenId) -> Result<Option<AdminToken>> {
        let ask = query_as::<_, TokenRow>(concat!(
            "SELECT ",
            token_columns!(),
            "FROM admin_tokens t WHERE t.id = $1"
        ));
        let row = self.connections.all(ask.bind(id.as_str())).await?.pop();
        row.map(TokenRow::read).transpose()
    }

    async fn tokens(&self, page: &PageRequest) -> Result<Page<AdminToken>> {
        let ask = query_as::<_, TokenRow>(concat!(
            "SELECT ",
            token_columns!(),
            "FROM admin_tokens t WHERE t.id < $1 ORDER BY t.id DESC LIMIT $2"
        ));
        let rows = self.connections.all(ask.bind(list::below(page)).bind(list::asked(page)));
        let rows = rows.await?.into_iter().map(TokenRow::read).collect::<Result<_>>()?;
        Ok(list::page(rows, page, |token: &AdminToken| token.id.as_str()))
    }

    async fn revoke_token(&self, act: &Act, id: &AdminTokenId) -> Result<bool> {
        let update =
            query("UPDATE admin_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL");
        let mut write = self.connections.write().await?;
        let ended = write.run(update.bind(id.as_str()).bind(act.at.as_millisecond())).await?;
        if ended > 0 {
            let sessions = query("DELETE FROM admin_sessions WHERE token_id = $1");
            write.run(sessions.bind(id.as_str())).await?;
            record(&mut write, act, Entry::plain("admin_token.revoke", id.as_str())).await?;
        }
        write.commit().await?;
        Ok(ended > 0)
    }

    async fn note_token_use(&self, id: &AdminTokenId, at: Timestamp) -> Result<()> {
        let update = query_as::<_, (String,)>(
            "UPDATE admin_tokens SET last_used_at = $2 \
             WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2) RETURNING id",
        );
        let update = update.bind(id.as_str()).bind(at.as_millisecond());
        self.connections.run_lightly(update).await.map(drop)
    }

    async fn create_session(&self, act: &Act, session: &AdminSession) -> Result<()> {
        let insert = query(
            "INSERT INTO admin_sessions \
             (id, digest, token_id, created_at, expires_at, last_used_at, address, agent) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(session.id.as_str())
        .bind(&session.digest)
        .bind(session.token.as_str())
        .bind(session.created_at.as_millisecond())
        .bind(session.expires_at.as_millisecond())
        .bind(session.last_used_at.as_millisecond())
        .bind(session.address.to_string())
        .bind(&session.agent);
        let mut write = self.connections.write().await?;
        write.run(insert).await?;
        record(&mut write, act, Entry::plain("session.begin", session.id.as_str())).await?;
        write.commit().await
    }

    async fn session(&self, digest: &str) -> Result<Option<(AdminSession, AdminToken)>> {
        let ask = query_as::<_, SessionRow>(concat!(session_columns!(), "WHERE s.digest = $1"));
        let row = self.connections.all(ask.bind(digest)).await?.pop();
        row.map(SessionRow::read).transpose()
    }

    async fn sessions(
        &self,
        now: Timestamp,
        page: &PageRequest,
    ) -> Result<Page<(AdminSession, AdminToken)>> {
        let ask = query_as::<_, SessionRow>(concat!(
            session_columns!(),
            "WHERE s.id < $1 AND s.expires_at > $2 ORDER BY s.id DESC LIMIT $3"
        ));
        let ask = ask.bind(list::below(page)).bind(now.as_millisecond()).bind(list::asked(page));
        let rows = self.connections.all(ask).await?;
        let rows = rows.into_iter().map(SessionRow::read).collect::<Result<_>>()?;
        Ok(list::page(rows, page, |row: &(AdminSession, AdminToken)| row.0.id.as_str()))
    }

    async fn note_session_use(&self, id: &SessionId, at: Timestamp) -> Result<()> {
        let update = query_as::<_, (String,)>(
            "UPDATE admin_sessions SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2 \
             RETURNING id",
        );
        let update = update.bind(id.as_str()).bind(at.as_millisecond());
        self.connections.run_lightly(update).await.map(drop)
    }

    async fn end_session(&self, act: &Act, id: &SessionId) -> Result<bool> {
        let delete = query("DELETE FROM admin_sessions WHERE id = $1");
        let mut write = self.connections.write().await?;
        let ended = write.run(delete.bind(id.as_str())).await?;
        if ended > 0 {
            record(&mut write, act, Entry::plain("session.end", id.as_str())).await?;
        }
        write.commit().await?;
        Ok(ended > 0)
    }

    async fn prune_sessions(&self, now: Timestamp) -> Result<u64> {
        let delete = query("DELETE FROM admin_sessions WHERE expires_at <= $1");
        let mut write = self.connections.write().await?;
        let ended = write.run(delete.bind(now.as_millisecond())).await?;
        write.commit().await?;
        Ok(ended)
    }
}
