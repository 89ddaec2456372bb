//! `admin-token`: credentials for the admin API and the dashboard.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use serde::Serialize;

use super::Globals;
use super::failure::{Failure, Result};
use super::key::{masked, public_id};
use super::output::{List, Output, say, table, time, time_or};
use super::owner::{Paging, more};
use super::session::Session;
use super::typed::Expiry;
use crate::admin::access::token::{self, TokenView};
use crate::domain::{AdminTokenId, Role};

/// `admin-token`.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminToken {
    /// Mint a token, which is shown once
    Create(Create),
    /// List tokens, newest first
    List(Paging),
    /// End a token for good, at once, and every session that was begun with it
    Revoke(Named),
}

/// `admin-token create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What people call it: who or what it is for
    #[arg(long)]
    name: String,
    /// What it may do: change everything, or look at everything
    #[arg(long, default_value = "admin", value_parser = role())]
    role: Role,
    /// When it stops by itself: `90d`, `never`, or a day like `2027-01-31` (00:00 UTC of it)
    #[arg(long, value_name = "WHEN", default_value = "never")]
    expires: Expiry,
    /// Say nothing beside the token
    #[arg(long, short)]
    quiet: bool,
}

/// One token.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its id, or its eight public characters or its hint
    id: String,
}

/// A token with its text, the one time that it is shown.
#[derive(Serialize)]
struct WithToken<'a> {
    #[serde(flatten)]
    view: TokenView,
    token: &'a str,
}

/// Does what was asked for.
pub(crate) async fn run(command: AdminToken, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let output = globals.output();
    match command {
        AdminToken::Create(new) => create(&session, new, output).await,
        AdminToken::List(paging) => list(&session, paging, output).await,
        AdminToken::Revoke(named) => revoke(&session, &named, output).await,
    }
}

async fn create(session: &Session, new: Create, output: Output) -> Result {
    let now = session.now();
    let expires_at = new.expires.resolve(now)?;
    if let Some(end) = expires_at.filter(|end| *end <= now) {
        return Err(Failure::mistaken(format!("the expiry {end} is in the past"))
            .with_hint("to end a token: `keygate admin-token revoke`"));
    }
    let keys = &session.config().keys;
    let (token, minted) = token::mint(&new.name, new.role, expires_at, keys, now)?;
    session.store.create_token(&session.act(), &token).await?;
    if !output.json && !new.quiet {
        say(&format!("Created {} token `{}` ({}).", token.role, token.name, token.id))?;
        say("This is the token. It is shown only now:")?;
    }
    let shown = WithToken { view: TokenView::new(token, now), token: minted.text.expose() };
    output.show(&shown, || shown.token.to_owned())
}

async fn list(session: &Session, paging: Paging, output: Output) -> Result {
    let mut page = session.store.tokens(&paging.request()).await?;
    let mut tokens = std::mem::take(&mut page.rows);
    while let Some(request) = paging.further(&page) {
        page = session.store.tokens(&request).await?;
        tokens.append(&mut page.rows);
    }
    let now = session.now();
    let data = tokens.into_iter().map(|token| TokenView::new(token, now)).collect();
    let list = List { data, next_cursor: page.next_cursor };
    output.show(&list, || rows(&list.data))?;
    more(output, list.next_cursor.as_deref())
}

async fn revoke(session: &Session, named: &Named, output: Output) -> Result {
    let id = named.find(session).await?;
    let is_new = session.store.revoke_token(&session.act(), &id).await?;
    let token = session.store.token(&id).await?.ok_or_else(|| missing(&id))?;
    let done = if is_new { "Revoked token" } else { "It was revoked before: token" };
    let shown = TokenView::new(token, session.now());
    output.show(&shown, || format!("{done} `{}` ({id})", shown.name))
}

impl Named {
    /// The token that is meant. A whole token is refused, and not repeated.
    async fn find(&self, session: &Session) -> Result<AdminTokenId> {
        let format = token::format();
        if format.parse(self.id.as_bytes()).is_some() {
            return Err(Failure::mistaken(
                "that is a whole token; a token is never taken as an argument",
            )
            .with_hint(
                "name it by its id or by the eight public characters behind the prefix. It may be \
                 in your shell's history now: revoke it and mint another",
            ));
        }
        if let Some(public) = public_id(&self.id, &format)
            && let Some(token) = session.store.token_by_public_id(public).await?
        {
            return Ok(token.id);
        }
        let id = AdminTokenId::from_text(masked(&self.id, &format));
        let found = session.store.token(&id).await?;
        found.map(|token| token.id).ok_or_else(|| missing(&id))
    }
}

fn missing(id: &AdminTokenId) -> Failure {
    Failure::failed(format!("there is no admin token `{id}`"))
        .with_hint("`keygate admin-token list` shows all tokens")
}

fn rows(tokens: &[TokenView]) -> String {
    let row = |token: &TokenView| {
        vec![
            token.id.to_string(),
            token.name.clone(),
            token.role.to_string(),
            token.status.name().to_owned(),
            token.hint.clone(),
            time(token.created_at),
            time_or(token.expires_at, "never"),
            time_or(token.last_used_at, "never"),
        ]
    };
    let heads = ["ID", "NAME", "ROLE", "STATUS", "HINT", "CREATED", "EXPIRES", "LAST USED"];
    table(&heads, tokens.iter().map(row).collect())
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name))
        .map(|name| name.parse().expect("the parser lets only these names through"))
}
