//! What this instance refused of late, each request with what every check said to it.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;

use super::names::{Named, Names};
use super::words::{Moment, count, escaped, query};
use super::{Fields, Frame, PageError, Section, page};
use crate::admin::access::{Caller, SignedIn};
use crate::admin::{AdminState, RefusalFilter};
use crate::domain::{KeyId, OwnerId, Reason, RefusedRequest};

/// Rows of the page; there are no further ones, since what is held moves on meanwhile.
const ROWS: usize = 100;

#[derive(Template)]
#[template(path = "refusals.html")]
struct Refusals {
    frame: Frame,
    /// The name of a reason.
    reason: String,
    key: String,
    /// A request that was looked for in vain.
    missing: Option<String>,
    is_live: bool,
    /// The page's own address, for its refresh.
    address: String,
    /// The same with the refresh off or on.
    other: String,
    rows: Vec<Row>,
    instance: String,
    /// How many refusals are held.
    held: String,
    several: bool,
}

struct Row {
    at: Moment,
    request_id: String,
    address: String,
    method: String,
    path: String,
    reason: Reason,
    status: u16,
    client: String,
    key: Option<(String, String)>,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Refusal {
    frame: Frame,
    at: Moment,
    /// Whose key it came with.
    owner: Option<Named>,
    refused: RefusedRequest,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    asked: Fields,
) -> Result<Response, PageError> {
    let Some(request_id) = asked.given("request_id") else {
        return Ok(page(&list(&state, &caller, &asked).await?));
    };
    if find(&state, request_id).is_some() {
        return Ok(Redirect::to(&address_of(request_id)).into_response());
    }
    let mut shown = list(&state, &caller, &Fields::default()).await?;
    shown.missing = Some(request_id.to_owned());
    Ok((StatusCode::NOT_FOUND, page(&shown)).into_response())
}

pub(super) async fn show_one(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    Path(request_id): Path<String>,
) -> Result<Response, PageError> {
    let Some(refused) = find(&state, &request_id) else {
        let mut shown = list(&state, &caller, &Fields::default()).await?;
        shown.missing = Some(request_id);
        return Ok((StatusCode::NOT_FOUND, page(&shown)).into_response());
    };
    let owner = refused.owner_id.as_ref().map(OwnerId::as_str);
    let names = Names::of(&state, owner).await?;
    Ok(page(&Refusal {
        frame: Frame::new("Refused request", Section::Refusals, &caller),
        owner: owner.map(|owner| names.named(owner)),
        at: Moment::new(refused.at, state.now()),
        refused,
    }))
}

fn find(state: &AdminState, request_id: &str) -> Option<RefusedRequest> {
    let request_id = Some(request_id.to_owned());
    let filter = RefusalFilter { request_id, ..RefusalFilter::default() };
    state.live.refusals(&filter, 1).pop()
}

fn address_of(request_id: &str) -> String {
    format!("/refusals/{}", escaped(request_id))
}

async fn list(state: &AdminState, caller: &Caller, asked: &Fields) -> Result<Refusals, PageError> {
    let now = state.now();
    let filter = RefusalFilter {
        reason: asked.given("reason").and_then(Reason::from_name),
        key: asked.given("key").map(KeyId::from_text),
        request_id: None,
    };
    let rows = state.live.refusals(&filter, ROWS);
    let is_live = asked.text("live") != "off";
    let kept = |name: &str| (name.to_owned(), asked.text(name).to_owned());
    let kept = [kept("reason"), kept("key")];
    let address = |live: bool| {
        let live = [("live".to_owned(), if live { "on" } else { "off" }.to_owned())];
        format!("/refusals?{}", query(kept.iter().chain(&live)))
    };
    Ok(Refusals {
        frame: Frame::new("Refusals", Section::Refusals, caller),
        reason: asked.text("reason").to_owned(),
        key: asked.text("key").to_owned(),
        missing: None,
        is_live,
        address: address(is_live),
        other: address(!is_live),
        rows: rows.into_iter().map(|refused| Row::new(refused, now)).collect(),
        instance: state.live.instance().to_string(),
        held: count(state.loaded().config.admin.keep_refusals as u64),
        several: state.store.instances().await?.len() > 1,
    })
}

impl Refusals {
    fn is_filtered(&self) -> bool {
        !self.reason.is_empty() || !self.key.is_empty()
    }
}

impl Row {
    fn new(refused: RefusedRequest, now: Timestamp) -> Self {
        let key = refused.key_id.map(|id| {
            let id = id.to_string();
            (refused.key_name.unwrap_or_else(|| id.clone()), id)
        });
        Self {
            at: Moment::new(refused.at, now),
            address: address_of(&refused.request_id),
            request_id: refused.request_id,
            method: refused.explanation.method,
            path: refused.explanation.path,
            reason: refused.reason,
            status: refused.status,
            client: refused.client.to_string(),
            key,
        }
    }
}
