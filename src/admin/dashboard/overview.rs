//! How everything stands.

use askama::Template;
use axum::extract::State;
use axum::response::Response;

use super::{Frame, PageError, Section, page};
use crate::admin::AdminState;
use crate::admin::access::SignedIn;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    instances: usize,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    SignedIn(caller): SignedIn,
) -> Result<Response, PageError> {
    let frame = Frame::new("Overview", Section::Overview, &caller);
    let instances = state.store.instances().await?.len();
    Ok(page(&Overview { frame, instances }))
}
