//! What stands around every page.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{Html, IntoResponse, Response};

use crate::admin::access::Caller;
use crate::admin::error::ApiError;
use crate::domain::Reason;

/// Where in the dashboard a page is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::admin) enum Section {
    Overview,
    Keys,
    Owners,
    Routes,
    Refusals,
    Webhooks,
    Audit,
    Settings,
}

impl Section {
    /// All, in the order of the menu.
    const ALL: [Self; 8] = [
        Self::Overview,
        Self::Keys,
        Self::Owners,
        Self::Routes,
        Self::Refusals,
        Self::Webhooks,
        Self::Audit,
        Self::Settings,
    ];

    /// As the menu calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Keys => "Keys",
            Self::Owners => "Owners",
            Self::Routes => "Routes",
            Self::Refusals => "Refusals",
            Self::Webhooks => "Webhooks",
            Self::Audit => "Audit",
            Self::Settings => "Settings",
        }
    }

    /// Where its first page is.
    fn address(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Keys => "/keys",
            Self::Owners => "/owners",
            Self::Routes => "/routes",
            Self::Refusals => "/refusals",
            Self::Webhooks => "/webhooks",
            Self::Audit => "/audit",
            Self::Settings => "/settings",
        }
    }
}

/// What every page of somebody who is signed in says around itself: `frame` in `layout.html`.
pub(in crate::admin) struct Frame {
    /// Of the browser's window.
    pub(super) title: String,
    /// Which part of the menu it belongs to.
    pub(super) section: Section,
    /// The token's name.
    pub(super) name: String,
    /// The token's role.
    pub(super) role: &'static str,
    /// Whether what changes something is shown.
    pub(super) is_admin: bool,
}

impl Frame {
    /// Of a page for that caller.
    pub(in crate::admin) fn new(
        title: impl Into<String>,
        section: Section,
        caller: &Caller,
    ) -> Self {
        Self {
            title: title.into(),
            section,
            name: caller.token.name.clone(),
            role: caller.token.role.name(),
            is_admin: caller.is_admin(),
        }
    }

    /// The menu: name, address, whether it is where the page is.
    pub(super) fn menu(&self) -> impl Iterator<Item = (&'static str, &'static str, bool)> {
        let here = self.section;
        Section::ALL.into_iter().map(move |it| (it.name(), it.address(), it == here))
    }
}

/// A page as an answer.
pub(in crate::admin) fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            ApiError::from(Reason::InternalError).into_response()
        }
    }
}

/// Why a page is not shown, as a page.
#[derive(Debug)]
pub(in crate::admin) struct PageError {
    status: StatusCode,
    message: String,
    retry_after: Option<u64>,
}

impl PageError {
    /// With what is wrong and what to do.
    pub(in crate::admin) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), retry_after: None }
    }
}

impl<E: Into<ApiError>> From<E> for PageError {
    fn from(error: E) -> Self {
        let ApiError { status, message, retry_after, .. } = error.into();
        Self { status, message, retry_after }
    }
}

/// What is shown where no page is.
pub(in crate::admin) fn not_there() -> Response {
    PageError::new(StatusCode::NOT_FOUND, "There is no page at this address.").into_response()
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    status: StatusCode,
    message: &'a str,
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let shown = page(&ErrorPage { status: self.status, message: &self.message });
        let mut response = (self.status, shown).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
