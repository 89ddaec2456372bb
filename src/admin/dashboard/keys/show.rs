//! `/keys/{id}`: one key with everything that is known of it.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::facts::{Facts, LimitRow, SecretRow, stopped};
use super::family::{Relative, children};
use super::history::{Entry, history};
use super::may::{RouteRow, ScopeUse, routes, scopes};
use super::usage::Usage;
use crate::admin::AdminState;
use crate::admin::access::SignedIn;
use crate::admin::dashboard::words::counted;
use crate::admin::dashboard::{Fields, Frame, PageError, Section, page};
use crate::domain::{Key, KeyId, KeyStatus};
use crate::store::Loaded;
use crate::store::credits::balance;

#[derive(Template)]
#[template(path = "keys/show.html")]
struct Show {
    frame: Frame,
    /// What was done just now.
    done: Option<&'static str>,
    key: Facts,
    stopped: Vec<String>,
    revoked: bool,
    disabled: bool,
    secrets: Vec<SecretRow>,
    routes: Vec<RouteRow>,
    /// What keygate answers itself.
    calls: Vec<RouteRow>,
    /// `3 of 7 routes`.
    allowed: String,
    allowed_calls: String,
    scopes: Vec<ScopeUse>,
    usage: Usage,
    limits: Option<Vec<LimitRow>>,
    /// The owner's, where it has any.
    credits: Option<String>,
    above: Vec<Relative>,
    children: Vec<Relative>,
    more_children: bool,
    history: Vec<Entry>,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    Path(id): Path<String>,
    asked: Fields,
) -> Result<Response, PageError> {
    let id = KeyId::from_text(id);
    let (now, loaded, plan) = (state.now(), state.loaded(), state.live.plan());
    let Loaded { key: held, owner } = find(&state, &id).await?;
    let family = state.mint(&loaded, &caller.asker()).family(&id).await?;
    let views = state.views(std::slice::from_ref(&held), &loaded).await?;
    let [view] = &views[..] else { unreachable!("a key has one view") };
    let usage = Usage::of(&state, &id).await?;
    let (children, more_children) = children(&state, &id).await?;
    let (routes, calls) = routes(&plan, &family);
    let credits = state.store.credits(&owner.id).await?;
    let limits = state.live.limits(&id);
    let above = family.iter().skip(1).rev().map(|key: &Key| Relative::new(key, None, now));
    Ok(page(&Show {
        frame: Frame::new(&held.key.name, Section::Keys, &caller),
        done: done(asked.text("done")),
        key: Facts::new(view, &held.key, &owner, &loaded.config, now),
        stopped: stopped(&family, &owner, view, &loaded.config, now),
        revoked: view.status == KeyStatus::Revoked,
        disabled: held.key.disabled,
        secrets: view.secrets.iter().rev().map(|secret| SecretRow::new(secret, now)).collect(),
        allowed: allowed(&routes, "route"),
        allowed_calls: allowed(&calls, "call"),
        routes,
        calls,
        scopes: scopes(&plan, &held.key.scopes, &usage.used_routes()),
        usage,
        limits: limits.map(|all| all.iter().map(|it| LimitRow::new(it, now)).collect()),
        credits: credits.map(|credits| balance(credits.balance)),
        above: above.collect(),
        children,
        more_children,
        history: history(&state, &id).await?,
    }))
}

/// The key of that id with its owner.
pub(super) async fn find(state: &AdminState, id: &KeyId) -> Result<Loaded, PageError> {
    let found = state.store.load_key(id).await?;
    found.ok_or_else(|| {
        let message = "There is no such key. The list of keys has all there are.";
        PageError::new(StatusCode::NOT_FOUND, message)
    })
}

/// How many of so many: `3 of 7 routes`.
fn allowed(routes: &[RouteRow], one: &str) -> String {
    let allowed = routes.iter().filter(|route| route.refused.is_none()).count();
    format!("{allowed} of {}", counted(routes.len() as u64, one))
}

/// What the page is told in its address that was done.
fn done(word: &str) -> Option<&'static str> {
    match word {
        "changed" => Some("The key was changed. What it has spent and counted stays."),
        "unchanged" => Some("Nothing was changed: the form said what was so already."),
        "disabled" => Some("The key was disabled: its requests are refused until it is enabled."),
        "enabled" => Some("The key was enabled: its requests are let in again."),
        _ => None,
    }
}
