//! The audit log: who changed what, when, from where.

pub(super) mod changes;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jiff::{SignedDuration, Timestamp};

use self::changes::{Change, changes};
use super::names::{Named, Names};
use super::words::{Moment, escaped, next_page, page_from};
use super::{Fields, Frame, PageError, Section, page};
use crate::admin::AdminState;
use crate::admin::access::SignedIn;
use crate::domain::AuditRow;
use crate::store::{AuditFilter, PageRequest};

/// Rows of a page.
const ROWS: u32 = 50;
/// Tokens that are offered as actors.
const OFFERED: u32 = 100;
/// Since when: as the form says it, in hours, in words.
const SPANS: [(&str, i64, &str); 4] = [
    ("1h", 1, "the last hour"),
    ("24h", 24, "the last 24 hours"),
    ("7d", 7 * 24, "the last 7 days"),
    ("30d", 30 * 24, "the last 30 days"),
];

#[derive(Template)]
#[template(path = "audit.html")]
struct Audit {
    frame: Frame,
    actor: String,
    action: String,
    target: String,
    since: String,
    /// Actors to choose from: as the log writes them, and in words.
    actors: Vec<(String, String)>,
    rows: Vec<Row>,
    is_later: bool,
    next: Option<String>,
}

struct Row {
    at: Moment,
    actor: Actor,
    action: String,
    target: Named,
    address: Option<String>,
    reason: Option<String>,
    changes: Vec<Change>,
}

/// Who did it.
struct Actor {
    /// `token`, `key`, `command`; nothing where the name says it.
    kind: &'static str,
    called: String,
    /// Everything that it did.
    address: String,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    asked: Fields,
) -> Result<Response, PageError> {
    let now = state.now();
    let target = match asked.given("target") {
        Some(target) => Some(target_id(&state, target).await?),
        None => None,
    };
    let filter = AuditFilter {
        since: asked.given("since").and_then(|since| begin(since, now)),
        actor: asked.given("actor").map(str::to_owned),
        action: asked.given("action").map(str::to_owned),
        target,
    };
    let from = page_from(asked.given("cursor").map(str::to_owned), ROWS);
    let found = state.store.audit(&filter, &from).await?;
    let ids = found.rows.iter().flat_map(|row| [row.target.as_str(), actor_id(&row.actor)]);
    let names = Names::of(&state, ids).await?;
    Ok(page(&Audit {
        frame: Frame::new("Audit", Section::Audit, &caller),
        actor: asked.text("actor").to_owned(),
        action: asked.text("action").to_owned(),
        target: asked.text("target").to_owned(),
        since: asked.text("since").to_owned(),
        actors: actors(&state).await?,
        rows: found.rows.iter().map(|row| Row::new(row, &names, now)).collect(),
        is_later: asked.given("cursor").is_some(),
        next: next_page("/audit", &asked.0, &found),
    }))
}

/// The target that was meant: an owner may be named.
async fn target_id(state: &AdminState, typed: &str) -> Result<String, PageError> {
    let owner = state.store.owner(typed).await?;
    Ok(owner.map_or_else(|| typed.to_owned(), |owner| owner.id.to_string()))
}

fn begin(since: &str, now: Timestamp) -> Option<Timestamp> {
    let (_, hours, _) = SPANS.iter().find(|(name, ..)| *name == since)?;
    now.checked_sub(SignedDuration::from_hours(*hours)).ok()
}

/// What can be chosen as an actor; others can be typed.
async fn actors(state: &AdminState) -> Result<Vec<(String, String)>, PageError> {
    let newest = PageRequest { after: None, limit: OFFERED };
    let tokens = state.store.tokens(&newest).await?.rows;
    let tokens = tokens.into_iter().map(|token| (format!("token:{}", token.id), token.name));
    let own =
        [("keygate", "keygate itself, on schedule"), ("setup", "the one-time set-up address")];
    let own = own.map(|(actor, words)| (actor.to_owned(), words.to_owned()));
    Ok(tokens.chain(own).collect())
}

/// The id in `token:ID` and `key:ID`, else the actor as it is.
fn actor_id(actor: &str) -> &str {
    let of = |prefix| actor.strip_prefix(prefix);
    of("token:").or_else(|| of("key:")).unwrap_or(actor)
}

impl Audit {
    /// Whether the list is only a part of all.
    fn is_filtered(&self) -> bool {
        [&self.actor, &self.action, &self.target, &self.since].iter().any(|text| !text.is_empty())
    }
}

impl Row {
    fn new(row: &AuditRow, names: &Names, now: Timestamp) -> Self {
        Self {
            at: Moment::new(row.at, now),
            actor: Actor::new(&row.actor, names),
            action: row.action.clone(),
            target: names.named(&row.target),
            address: row.address.clone(),
            reason: row.reason.clone().filter(|reason| !reason.is_empty()),
            changes: changes(row.before.as_ref(), row.after.as_ref()),
        }
    }
}

impl Actor {
    fn new(actor: &str, names: &Names) -> Self {
        let kinds = ["token", "key", "command"];
        let kind = kinds
            .into_iter()
            .find(|kind| actor.strip_prefix(kind).is_some_and(|rest| rest.starts_with(':')));
        let called = match kind {
            Some("command") => actor.strip_prefix("command:").unwrap_or(actor).to_owned(),
            Some(_) => names.named(actor_id(actor)).called().to_owned(),
            None => actor.to_owned(),
        };
        let address = format!("/audit?actor={}", escaped(actor));
        Self { kind: kind.unwrap_or_default(), called, address }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_is_called_by_what_people_call_it() {
        let actor = |text| {
            let Actor { kind, called, address } = Actor::new(text, &Names::default());
            format!("{kind} {called} {address}")
        };
        assert_eq!(actor("keygate"), " keygate /audit?actor=keygate");
        assert_eq!(actor("command:jo"), "command jo /audit?actor=command%3Ajo");
        assert_eq!(actor("token:adm_1"), "token adm_1 /audit?actor=token%3Aadm_1");
        assert_eq!(actor("keys"), " keys /audit?actor=keys");
    }
}
