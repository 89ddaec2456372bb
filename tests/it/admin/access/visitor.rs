//! A browser as far as the doors are concerned: it keeps a cookie and says where its forms come from.

use crate::support::admin::AdminToken;
use crate::support::curl::Curl;
use crate::support::{Answer, TestGateway};

/// Somebody who looks at the dashboard.
pub(super) struct Visitor<'g> {
    gateway: &'g TestGateway,
    /// `NAME=VALUE`, once it was given one.
    pub(super) cookie: Option<String>,
}

impl<'g> Visitor<'g> {
    /// One who has not been there yet.
    pub(super) fn of(gateway: &'g TestGateway) -> Self {
        Self { gateway, cookie: None }
    }

    /// One who brings a cookie, `NAME=VALUE`.
    pub(super) fn with(gateway: &'g TestGateway, cookie: String) -> Self {
        Self { gateway, cookie: Some(cookie) }
    }

    /// One who has signed in with that token.
    #[track_caller]
    pub(super) fn signed_in(gateway: &'g TestGateway, token: &AdminToken) -> Self {
        let mut visitor = Self::of(gateway);
        let answer = visitor.sign_in(token.text());
        assert_eq!(answer.status, 303, "{}", answer.text());
        visitor
    }

    /// Sends the form of `/login`.
    pub(super) fn sign_in(&mut self, token: &str) -> Answer {
        self.post("/login", &format!("token={token}"))
    }

    /// Asks for a page.
    pub(super) fn get(&self, path: &str) -> Answer {
        self.call(path).send()
    }

    /// Sends a form from a page of our own, and keeps the cookie that the answer sets.
    pub(super) fn post(&mut self, path: &str, form: &str) -> Answer {
        let call = self.call(path).method("POST").body(form);
        let answer = call.header("Sec-Fetch-Site: same-origin").send();
        if let Some(cookie) = answer.header("set-cookie") {
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        answer
    }

    /// A call with its cookie.
    pub(super) fn call(&self, path: &str) -> Curl {
        let call = Curl::new(self.gateway.admin_address(), path);
        match &self.cookie {
            Some(cookie) => call.header(&format!("Cookie: {cookie}")),
            None => call,
        }
    }
}
