//! The dashboard as people use it: in a real browser.

mod accessible;
mod filled;
mod flow;
mod keyboard;
mod pictures;
mod scripts;
mod sign_in;
mod viewer;

use crate::support::admin::AdminToken;
use crate::support::{Browser, TestGateway};

impl TestGateway {
    /// A browser before the dashboard; `None` where none is installed.
    fn browser(&self) -> Option<Browser> {
        Browser::open(&format!("http://{}", self.admin_address()))
    }

    /// A browser that is signed in with that token.
    fn browser_of(&self, token: &AdminToken) -> Option<Browser> {
        let browser = self.browser()?;
        browser.sign_in(token);
        Some(browser)
    }
}

impl Browser {
    /// Signs in with that token, and waits until the overview is there.
    fn sign_in(&self, token: &AdminToken) {
        self.go("/login");
        self.fill("#token", token.text());
        self.press("Sign in");
        self.wait_for("nav.menu a[href='/'][aria-current='page']");
    }
}
