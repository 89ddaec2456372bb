//! A real browser: Debian's Chromium, driven by its own chromedriver over `WebDriver`.
//!
//! Everything is waited for by asking again until it is so, and never by the clock. What the browser
//! complains of in its console fails the test that does not ask for it ([`Browser::complaints`]).

use std::path::Path;
use std::process::Command;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::key::Key;
use fantoccini::wd::{Capabilities, WebDriverCompatibleCommand};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::process::Process;
use super::{ASK_AGAIN, PATIENCE, skipped};

/// Where Debian puts them.
const CHROMIUM: &str = "/usr/bin/chromium";
const CHROMEDRIVER: &str = "/usr/bin/chromedriver";

/// A browser with one window and nothing in its memory. When it is dropped, it ends.
pub(crate) struct Browser {
    runtime: Runtime,
    client: Client,
    /// Before every path.
    base: String,
    /// Ended behind the window.
    driver: Process,
    _profile: TempDir,
}

impl Browser {
    /// Opens a window that goes to paths of `base`; `None`, said aloud, where no browser is installed.
    pub(crate) fn open(base: &str) -> Option<Self> {
        for (file, package) in [(CHROMIUM, "chromium"), (CHROMEDRIVER, "chromium-driver")] {
            if !Path::new(file).exists() {
                skipped("browser", package);
                return None;
            }
        }
        let profile = TempDir::new().expect("a directory can be made");
        let mut command = Command::new(CHROMEDRIVER);
        // Whatever the browser writes down, it writes where it goes with this test.
        command.arg("--port=0").env("HOME", profile.path()).env("TMPDIR", profile.path());
        let driver = Process::start(&mut command);
        let port = driver.out.wait_for("port of chromedriver", port);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime can be made");
        let client = runtime.block_on(
            ClientBuilder::new(HttpConnector::new())
                .capabilities(capabilities(profile.path()))
                .connect(&format!("http://127.0.0.1:{port}")),
        );
        let client = client.expect("chromedriver opens a window");
        Some(Self { runtime, client, base: base.to_owned(), driver, _profile: profile })
    }

    /// Goes to a path, and waits until its page is there.
    pub(crate) fn go(&self, path: &str) {
        self.go_to(&format!("{}{path}", self.base));
    }

    /// Goes to an address.
    pub(crate) fn go_to(&self, address: &str) {
        self.done(&format!("go to {address}"), self.client.goto(address));
    }

    /// Path and query of the page.
    pub(crate) fn path(&self) -> String {
        let url = self.done("tell the address", self.client.current_url());
        match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }
    }

    /// How many such elements there are.
    pub(crate) fn count(&self, css: &str) -> usize {
        self.done(css, self.client.find_all(Locator::Css(css))).len()
    }

    /// What people read in the first such element, once it is there.
    #[track_caller]
    pub(crate) fn text(&self, css: &str) -> String {
        self.with(css, async |element: Element| element.text().await)
    }

    /// Clicks the first such element once it can be.
    #[track_caller]
    pub(crate) fn click(&self, css: &str) {
        self.with(css, async |element: Element| element.click().await);
    }

    /// Clicks the link or button that says so.
    #[track_caller]
    pub(crate) fn press(&self, words: &str) {
        assert!(!words.contains('\''), "{words}");
        let path =
            format!("//*[self::a or self::button or self::summary][normalize-space()='{words}']");
        let press = async || self.client.find(Locator::XPath(&path)).await?.click().await;
        self.again(words, press);
    }

    /// Writes into a field in place of what is there.
    #[track_caller]
    pub(crate) fn fill(&self, css: &str, text: &str) {
        self.with(css, async |element: Element| {
            element.clear().await?;
            element.send_keys(text).await
        });
    }

    /// Types into whatever has the focus.
    pub(crate) fn type_keys(&self, keys: &str) {
        let press = async { self.client.active_element().await?.send_keys(keys).await };
        self.done("type", press);
    }

    /// Presses the tabulator until what has the focus is such an element.
    #[track_caller]
    pub(crate) fn tab_to(&self, css: &str) {
        const MOST: usize = 100;
        for _ in 0..MOST {
            self.type_keys(&char::from(Key::Tab).to_string());
            if self.run("return document.activeElement.matches(arguments[0])", &[json!(css)])
                == true
            {
                return;
            }
        }
        panic!("the tabulator does not come to {css} of {}", self.path());
    }

    /// Waits until the page has such an element.
    #[track_caller]
    pub(crate) fn wait_for(&self, css: &str) {
        self.with(css, async |_| Ok(()));
    }

    /// Waits until the first such element says something.
    #[track_caller]
    pub(crate) fn wait_for_text(&self, css: &str, text: &str) {
        self.until(&format!("{css} to say {text:?}"), || self.text(css).contains(text));
    }

    /// Asks until the answer is yes.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE, "in vain waited for {what} on {}", self.path());
            std::thread::park_timeout(ASK_AGAIN);
        }
    }

    /// Everything that people read on the page.
    pub(crate) fn page(&self) -> String {
        self.text("body")
    }

    /// Runs a script in the page, which its policy does not bind; what it returns.
    pub(crate) fn run(&self, script: &str, args: &[Value]) -> Value {
        self.done("run a script", self.client.execute(script, args.to_vec()))
    }

    /// Runs a script that calls its last argument with what it has to say.
    pub(crate) fn run_async(&self, script: &str, args: &[Value]) -> Value {
        self.done("run a script", self.client.execute_async(script, args.to_vec()))
    }

    /// A command of the `DevTools` protocol.
    pub(crate) fn devtools(&self, command: &str, params: &Value) -> Value {
        let body = json!({ "cmd": command, "params": params });
        self.done(command, self.client.issue_cmd(Extension { path: "goog/cdp/execute", body }))
    }

    /// What the browser has complained of in its console since it was last asked: scripts that
    /// failed, what the page's policy kept off, what could not be loaded.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let body = json!({ "type": "browser" });
        let log = self.done("log", self.client.issue_cmd(Extension { path: "se/log", body }));
        let entries = log.as_array().cloned().unwrap_or_default();
        let matters = |entry: &&Value| entry["level"] == "SEVERE" || entry["level"] == "WARNING";
        let said = |entry: &Value| entry["message"].as_str().unwrap_or_default().to_owned();
        entries.iter().filter(matters).map(said).collect()
    }

    /// Whether a script has opened a box that waits for an answer.
    pub(crate) fn has_alert(&self) -> bool {
        self.runtime.block_on(self.client.get_alert_text()).is_ok()
    }

    /// Sets the window's width and whether the system is said to be dark.
    pub(crate) fn look(&self, width: u32, dark: bool) {
        let screen =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", &screen);
        self.devtools("Emulation.setScrollbarsHidden", &json!({ "hidden": true }));
        let scheme = if dark { "dark" } else { "light" };
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.devtools("Emulation.setEmulatedMedia", &json!({ "features": features }));
    }

    /// A picture of the page down to so many pixels, drawn in that scale, as base64 of a PNG.
    pub(crate) fn picture(&self, most: f64, scale: f64) -> String {
        let size = &self.devtools("Page.getLayoutMetrics", &json!({}))["cssContentSize"];
        let height = size["height"].as_f64().map_or(most, |height| height.min(most));
        let clip = json!({
            "x": 0, "y": 0, "width": size["width"], "height": height, "scale": scale
        });
        let params = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.devtools("Page.captureScreenshot", &params);
        picture["data"].as_str().expect("a picture is text").to_owned()
    }

    /// Does something with the first such element, again until it is there and lets it be done.
    #[track_caller]
    fn with<T>(&self, css: &str, act: impl AsyncFn(Element) -> Result<T, CmdError>) -> T {
        let act = async || act(self.client.find(Locator::Css(css)).await?).await;
        self.again(css, act)
    }

    #[track_caller]
    fn again<T>(&self, what: &str, act: impl AsyncFn() -> Result<T, CmdError>) -> T {
        let begun = Instant::now();
        loop {
            match self.runtime.block_on(act()) {
                Ok(done) => return done,
                Err(error) => assert!(
                    begun.elapsed() < PATIENCE,
                    "in vain waited for {what} on {}: {error}",
                    self.path()
                ),
            }
            std::thread::park_timeout(ASK_AGAIN);
        }
    }

    #[track_caller]
    fn done<T>(&self, what: &str, command: impl Future<Output = Result<T, CmdError>>) -> T {
        let done = self.runtime.block_on(command);
        done.unwrap_or_else(|error| panic!("the browser cannot do this: {what}: {error}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It ends with its driver all the same.
        let _ = self.runtime.block_on(self.client.clone().close());
        self.driver.kill();
    }
}

/// The port in `ChromeDriver was started successfully on port 40123.`.
fn port(log: &str) -> Option<u16> {
    let (_, rest) = log.split_once("successfully on port ")?;
    rest.split_once('.')?.0.parse().ok()
}

fn capabilities(profile: &Path) -> Capabilities {
    let mut args = vec![
        "--headless=new".to_owned(),
        "--disable-gpu".to_owned(),
        "--disable-dev-shm-usage".to_owned(),
        "--disable-background-networking".to_owned(),
        "--no-first-run".to_owned(),
        "--window-size=1280,900".to_owned(),
        format!("--user-data-dir={}", profile.join("profile").display()),
    ];
    if rustix::process::geteuid().is_root() {
        // Its sandbox does not work for root.
        args.push("--no-sandbox".to_owned());
    }
    let wanted = json!({
        "browserName": "chrome",
        "goog:chromeOptions": { "binary": CHROMIUM, "args": args },
        "goog:loggingPrefs": { "browser": "ALL" },
        // An alert stays, so that it is noticed.
        "unhandledPromptBehavior": "ignore",
    });
    match wanted {
        Value::Object(wanted) => wanted,
        _ => Capabilities::new(),
    }
}

/// A command that chromedriver has beside the standard's.
#[derive(Debug)]
struct Extension {
    path: &'static str,
    body: Value,
}

impl WebDriverCompatibleCommand for Extension {
    fn endpoint(
        &self,
        base_url: &url::Url,
        session_id: Option<&str>,
    ) -> Result<url::Url, url::ParseError> {
        let session = session_id.unwrap_or_default();
        base_url.join(&format!("session/{session}/{}", self.path))
    }

    fn method_and_body(&self, _: &url::Url) -> (http::Method, Option<String>) {
        (http::Method::POST, Some(self.body.to_string()))
    }
}
