//! `admin-token`: credentials for the admin API and the dashboard.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde::Serialize;

use super::Globals;
use super::failure::{Failure, Result};
use super::output::{List, Output, say, table, time};
use super::owner::{Paging, more};
use super::session::Session;
use super::typed::Expiry;
use crate::admin::access::token;
use crate::domain::{self, AdminTokenId, Role};

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
    /// Its id, `adm_…`
    id: String,
}

/// A token as programs are shown it.
#[derive(Serialize)]
struct View<'a> {
    id: &'a AdminTokenId,
    name: &'a str,
    role: Role,
    status: domain::TokenStatus,
    hint: &'a str,
    created_at: Timestamp,
    expires_at: Option<Timestamp>,
    last_used_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct WithToken<'a> {
    #[serde(flatten)]
    view: View<'a>,
    token: &'a str,
}

/// Does what was asked for.
pub(crate) async fn run(command: AdminToken, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let output = globals.output();
    match command {
        AdminToken::Create(new) => create(&session, new, output).await,
        AdminToken::List(paging) => list(&session, paging, output).await,
        AdminToken::Revoke(Named { id }) => revoke(&session, &id, output).await,
    }
}

async fn create(session: &Session, new: Create, output: Output) -> Result {
    let now = session.now();
    let expires_at = new.expires.resolve(now)?;
    if expires_at.is_some_and(|end| end <= now) {
        return Err(Failure::mistaken("the token would have ended already"));
    }
    let strength = session.config().keys.argon2;
    let minted = token::mint(&new.name, new.role, expires_at, strength, now);
    let (token, minted) = minted.map_err(|error| Failure::mistaken(error.to_string()))?;
    session.store.create_token(&session.act(), &token).await?;
    if !output.json && !new.quiet {
        say(&format!("Created the {} token {} ({}).", token.role, token.name, token.id))?;
        say("This is the token. It is shown only now:")?;
    }
    let shown = WithToken { view: view(&token, now), token: minted.text.expose() };
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
    let data = tokens.iter().map(|token| view(token, now)).collect();
    let list = List { data, next_cursor: page.next_cursor };
    output.show(&list, || rows(&list.data))?;
    more(output, list.next_cursor.as_deref())
}

async fn revoke(session: &Session, id: &str, output: Output) -> Result {
    let id = AdminTokenId::from_text(id);
    let missing = || Failure::failed(format!("there is no admin token `{id}`"));
    let ended = session.store.revoke_token(&session.act(), &id).await?;
    let token = session
        .store
        .token(&id)
        .await?
        .ok_or_else(|| missing().with_hint("`keygate admin-token list` shows all tokens"))?;
    let told = if ended { "Revoked" } else { "It was revoked before:" };
    output.show(&view(&token, session.now()), || format!("{told} {} ({id}).", token.name))
}

fn view(token: &domain::AdminToken, now: Timestamp) -> View<'_> {
    View {
        id: &token.id,
        name: &token.name,
        role: token.role,
        status: token.status(now),
        hint: &token.hint,
        created_at: token.created_at,
        expires_at: token.expires_at,
        last_used_at: token.last_used_at,
    }
}

fn rows(tokens: &[View<'_>]) -> String {
    let at = |at: Option<Timestamp>, none: &str| at.map_or_else(|| none.to_owned(), time);
    let row = |token: &View<'_>| {
        vec![
            token.id.to_string(),
            token.name.to_owned(),
            token.role.to_string(),
            format!("{:?}", token.status).to_lowercase(),
            token.hint.to_owned(),
            time(token.created_at),
            at(token.expires_at, "never"),
            at(token.last_used_at, "never"),
        ]
    };
    let heads = ["ID", "NAME", "ROLE", "STATUS", "HINT", "CREATED", "EXPIRES", "LAST USED"];
    table(&heads, tokens.iter().map(row).collect())
}

fn role() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(Role::ALL.map(Role::name))
        .map(|name| name.parse().expect("the parser lets only these names through"))
}
