//! `/`: how everything stands, and what needs attention.
//!
//! What this instance knows by itself is shown whatever becomes of the store.

mod attention;
mod traffic;

use askama::Template;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use self::attention::{Attention, attention};
use self::traffic::Traffic;
use super::{Frame, PageError, Section, page};
use crate::admin::AdminState;
use crate::admin::access::SignedIn;
use crate::domain::Month;

/// The part of the page that is asked for anew every few seconds.
const LIVE: &str = "live";

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    traffic: Traffic,
    /// Since the first of the month; `None`: the store is out of reach.
    spent: Option<String>,
    attention: Attention,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let now = state.now();
    // What is put in the place of the live part alone needs no look at every key.
    let is_part = headers.get("hx-target").is_some_and(|target| target == LIVE);
    let spent = state.store.spent_by_all(Month::of(now)).await;
    let attention = if is_part { Attention::default() } else { attention(&state).await };
    Ok(page(&Overview {
        frame: Frame::new("Overview", Section::Overview, &caller),
        traffic: Traffic::of(&state.live.traffic(), now),
        spent: spent.ok().map(|spent| spent.to_string()),
        attention,
    }))
}
