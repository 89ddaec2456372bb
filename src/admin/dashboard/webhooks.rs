//! Webhooks: where events go, what became of each, and sending them again.

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use jiff::Timestamp;

use super::names::{Named, Names};
use super::words::{Moment, count, counted, listed, next_page, page_from};
use super::{Editor, Fields, Frame, PageError, Section, page};
use crate::admin::AdminState;
use crate::admin::access::SignedIn;
use crate::config;
use crate::domain::{Act, EventPattern};
use crate::store::StoreError;
use crate::store::deliveries::{Delivery, DeliveryStatus, Replay};

/// Rows of a page.
const ROWS: u32 = 50;
/// Deliveries that one transaction sends again.
const BATCH: u32 = 500;

pub(super) fn router() -> Router<AdminState> {
    Router::new().route("/webhooks", get(show)).route("/webhooks/replay", post(replay))
}

#[derive(Template)]
#[template(path = "webhooks.html")]
struct Webhooks {
    frame: Frame,
    endpoints: Vec<Endpoint>,
    /// Which deliveries are shown: a status, or nothing for all.
    status: String,
    rows: Vec<Row>,
    is_later: bool,
    next: Option<String>,
    /// How many deliveries wait.
    pending: String,
    /// Since when the first of them waits.
    oldest: Option<Moment>,
    /// What was just sent again.
    done: Option<String>,
}

/// An endpoint of the configuration.
struct Endpoint {
    url: String,
    events: String,
}

struct Row {
    id: String,
    event: String,
    about: Named,
    url: String,
    status: &'static str,
    attempts: String,
    happened: Moment,
    next_try: Option<Moment>,
    ended: Option<Moment>,
    error: Option<String>,
}

async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    asked: Fields,
) -> Result<Response, PageError> {
    let now = state.now();
    let status = asked.given("status").and_then(DeliveryStatus::from_name);
    let from = page_from(asked.given("cursor").map(str::to_owned), ROWS);
    let found = state.store.deliveries(status, &from).await?;
    let names = Names::of(&state, found.rows.iter().map(|row| row.subject.as_str())).await?;
    let backlog = state.store.backlog().await?;
    let replayed = asked.text("replayed").parse::<u64>().ok();
    Ok(page(&Webhooks {
        frame: Frame::new("Webhooks", Section::Webhooks, &caller),
        endpoints: state.loaded().config.webhooks.endpoints.iter().map(Endpoint::new).collect(),
        status: status.map(|status| status.name().to_owned()).unwrap_or_default(),
        rows: found.rows.iter().map(|row| Row::new(row, &names, now)).collect(),
        is_later: asked.given("cursor").is_some(),
        next: next_page("/webhooks", &asked.0, &found),
        pending: count(backlog.pending),
        oldest: Moment::of(backlog.oldest, now),
        done: replayed.map(|many| format!("Sending again: {}.", deliveries(many))),
    }))
}

fn deliveries(many: u64) -> String {
    match many {
        1 => counted(1, "delivery"),
        many => format!("{} deliveries", count(many)),
    }
}

async fn replay(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    sent: Fields,
) -> Result<Response, PageError> {
    let act = state.act(&caller);
    let replayed = match sent.given("id") {
        Some(id) => state.store.replay(&act, &Replay::Named(id.to_owned())).await?.len(),
        None => replay_failed(&state, &act).await?,
    };
    if replayed == 0 {
        let message = "There is nothing to send again: the delivery is gone, or none has failed.";
        return Err(PageError::new(StatusCode::NOT_FOUND, message));
    }
    Ok(Redirect::to(&format!("/webhooks?replayed={replayed}")).into_response())
}

/// In batches, so that no transaction is long; those that had failed by the time of the act.
async fn replay_failed(state: &AdminState, act: &Act) -> Result<usize, StoreError> {
    let mut replayed = 0;
    loop {
        match state.store.replay(act, &Replay::Failed(BATCH)).await?.len() {
            0 => return Ok(replayed),
            some => replayed += some,
        }
    }
}

impl Webhooks {
    /// The choices of deliveries: address, words, whether it is the one that is shown.
    fn tabs(&self) -> [(&'static str, &'static str, bool); 4] {
        [("", "All"), ("pending", "Pending"), ("failed", "Failed"), ("delivered", "Delivered")].map(
            |(status, words)| {
                let address = match status {
                    "pending" => "/webhooks?status=pending",
                    "failed" => "/webhooks?status=failed",
                    "delivered" => "/webhooks?status=delivered",
                    _ => "/webhooks",
                };
                (address, words, self.status == status)
            },
        )
    }
}

impl Endpoint {
    fn new(endpoint: &config::Endpoint) -> Self {
        let events: Vec<String> = endpoint.events.iter().map(pattern).collect();
        Self { url: endpoint.url.shown(), events: listed(&events) }
    }
}

/// A pattern as the configuration writes it.
fn pattern(pattern: &EventPattern) -> String {
    match pattern {
        EventPattern::All => "*".to_owned(),
        EventPattern::Group(group) => format!("{group}.*"),
        EventPattern::One(kind) => kind.name().to_owned(),
    }
}

impl Row {
    fn new(delivery: &Delivery, names: &Names, now: Timestamp) -> Self {
        Self {
            id: delivery.id.to_string(),
            event: delivery.kind.clone(),
            about: names.named(&delivery.subject),
            url: delivery.url.clone(),
            status: delivery.status.name(),
            attempts: count(u64::from(delivery.attempts)),
            happened: Moment::new(delivery.created_at, now),
            next_try: Moment::of(delivery.next_attempt_at, now),
            ended: Moment::of(delivery.ended_at, now),
            error: delivery.last_error.clone(),
        }
    }
}
