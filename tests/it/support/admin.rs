//! The admin API, called as programs call it.

use serde_json::Value;

use super::curl::{Answer, Curl};
use super::{TestGateway, leaks};

/// An admin token.
pub(crate) struct AdminToken(String);

impl AdminToken {
    /// The token itself.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl TestGateway {
    /// Mints an admin token with the flags of `admin-token create`, in another process.
    pub(crate) fn admin_token(&self, flags: &str) -> AdminToken {
        let command = format!("admin-token create --quiet {flags}");
        let args: Vec<&str> = command.split_whitespace().collect();
        let token = self.installation().run(&args).trim().to_owned();
        leaks::note(&token);
        AdminToken(token)
    }

    /// A call of curl to a path of the admin listener, with that token.
    pub(crate) fn as_admin(&self, token: &AdminToken, path: &str) -> Curl {
        let field = format!("Authorization: Bearer {}", token.text());
        Curl::new(self.admin_address(), path).header(&field)
    }

    /// The JSON that a path of the admin API answers a GET with.
    #[track_caller]
    pub(crate) fn seen(&self, token: &AdminToken, path: &str) -> Value {
        let answer = self.as_admin(token, path).send();
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// Sends JSON to a path of the admin API.
    pub(crate) fn sent(
        &self,
        token: &AdminToken,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        self.as_admin(token, path)
            .method(method)
            .header("Content-Type: application/json")
            .body(&body.to_string())
            .send()
    }
}

impl Answer {
    /// Fails unless it is an error of the admin API with that status and code.
    #[track_caller]
    pub(crate) fn is_error(&self, status: u16, code: &str) -> &Self {
        assert_eq!(self.status, status, "{}", self.text());
        let error = &self.json()["error"];
        assert_eq!(error["code"], code, "{error}");
        assert!(error["message"].is_string(), "{error}");
        self
    }
}

/// Somebody who is signed in to the dashboard, as far as that needs no browser: a cookie, and forms
/// from pages of our own.
pub(crate) struct Browserless<'g> {
    gateway: &'g TestGateway,
    cookie: String,
}

impl<'g> Browserless<'g> {
    /// Signs in.
    #[track_caller]
    pub(crate) fn signed_in(gateway: &'g TestGateway, token: &AdminToken) -> Self {
        let mut session = Self { gateway, cookie: String::new() };
        let answer = session.post("/login", &[("token", token.text())]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let cookie = answer.header("set-cookie").expect("a session has a cookie");
        cookie.split(';').next().unwrap_or_default().clone_into(&mut session.cookie);
        session
    }

    /// Its cookie, as the browser sends it.
    pub(crate) fn cookie(&self) -> &str {
        &self.cookie
    }

    /// Asks for a page.
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.call(path).send()
    }

    /// The text of a page that is there.
    #[track_caller]
    pub(crate) fn page(&self, path: &str) -> String {
        let answer = self.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    /// Sends a form.
    pub(crate) fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let call = self.call(path).method("POST").header("Sec-Fetch-Site: same-origin");
        let call = call.args(["--data", ""]);
        let fields = fields.iter().map(|(name, value)| format!("{name}={value}"));
        fields.fold(call, |call, field| call.args(["--data-urlencode", &field])).send()
    }

    fn call(&self, path: &str) -> Curl {
        let call = Curl::new(self.gateway.admin_address(), path);
        call.header(&format!("Cookie: {}", self.cookie))
    }
}
