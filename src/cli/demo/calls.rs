//! What a demo prints: addresses, keys, and calls to paste with what each will answer.

use std::net::SocketAddr;

use serde::Serialize;
use serde_json::json;

use super::setup::{DemoKey, Keys, Plan};
use crate::cli::output::fields;
use crate::domain::{KeyId, Reason};
use crate::key::SecretText;

/// All of it.
#[derive(Serialize)]
pub(crate) struct Shown<'a> {
    data: String,
    admin: String,
    upstream: &'a str,
    admin_token: &'a str,
    keys: Vec<ShownKey<'a>>,
    calls: Vec<Call>,
    #[serde(skip)]
    echoes: bool,
}

#[derive(Serialize)]
struct ShownKey<'a> {
    name: &'a str,
    id: &'a KeyId,
    secret: &'a str,
}

/// A line to paste.
#[derive(Serialize)]
struct Call {
    /// What it shows.
    about: &'static str,
    /// For a POSIX shell.
    run: String,
    /// The status it will answer; `None`: what the upstream says.
    status: Option<u16>,
    /// The answer's body, where it is the gateway's own; of several calls, what they print.
    body: Option<String>,
}

impl<'a> Shown<'a> {
    /// What stands where, and what there is to try.
    pub(crate) fn new(data: SocketAddr, admin: SocketAddr, plan: &'a Plan, keys: &'a Keys) -> Self {
        let key = |key: &'a DemoKey| ShownKey {
            name: key.name,
            id: &key.id,
            secret: key.secret.expose(),
        };
        let (base, admin) = (format!("http://{data}"), format!("http://{admin}"));
        let mut calls = if plan.echoes { echo_calls(&base, keys) } else { api_calls(&base, keys) };
        calls.push(Call {
            about: "What the dashboard shows, programs can have too: here the keys",
            run: curl(Some(&keys.token), "", &format!("{admin}/admin/v1/keys")),
            status: Some(200),
            body: None,
        });
        Self {
            calls,
            data: base,
            admin,
            admin_token: keys.token.expose(),
            upstream: &plan.upstream,
            keys: vec![key(&keys.full), key(&keys.read_only), key(&keys.test)],
            echoes: plan.echoes,
        }
    }

    /// For people, in a shape that can be pasted from.
    pub(crate) fn in_words(&self) -> String {
        let upstream = if self.echoes { "an echo built in, at" } else { "in front of the API at" };
        let addresses = fields(vec![
            ("  gateway", format!("{}  ({upstream} {})", self.data, self.upstream)),
            ("  dashboard", format!("{}  (sign in with the admin token)", self.admin)),
        ]);
        let names = ["  full key", "  read-only key", "  test key"];
        let keys = self.keys.iter().zip(names).map(|(key, name)| (name, key.secret.to_owned()));
        let keys = keys.chain([("  admin token", self.admin_token.to_owned())]);
        let mut words = format!(
            "The gateway stands.\n\n{addresses}\n\n{}\n\nPaste into another terminal:\n",
            fields(keys.collect())
        );
        for call in &self.calls {
            words.push_str(&call.in_words());
        }
        words.push_str("\nThe access log follows on stderr. Ctrl-C ends it all.");
        words
    }
}

impl Call {
    fn in_words(&self) -> String {
        let Self { about, run, status, body } = self;
        let answer = match (status, body) {
            (Some(status), Some(body)) => format!("{status} {body}"),
            (Some(status), None) => status.to_string(),
            (None, Some(printed)) => printed.clone(),
            (None, None) => "what the API answers".to_owned(),
        };
        format!("\n# {about}\n# answers: {answer}\n{run}\n")
    }
}

fn echo_calls(base: &str, keys: &Keys) -> Vec<Call> {
    let notes = format!("{base}/v1/notes");
    let passes = |about, run| Call { about, run, status: Some(200), body: None };
    let post = "-X POST -d hello";
    vec![
        passes(
            "The full key may. The answer shows what the upstream got: who calls, and no secret",
            curl(Some(&keys.full.secret), "", &notes),
        ),
        passes("It may write too", curl(Some(&keys.full.secret), post, &notes)),
        passes("The read-only key may read", curl(Some(&keys.read_only.secret), "", &notes)),
        refused(
            "but not write",
            curl(Some(&keys.read_only.secret), post, &notes),
            Reason::MissingScope,
        ),
        passes(
            "The test key: x-auth-env says `test` to the upstream",
            curl(Some(&keys.test.secret), "", &notes),
        ),
        refused("No key", curl(None, "", &notes), Reason::MissingKey),
        refused(
            "A key that nobody was given",
            curl(Some(&keys.unknown), "", &notes),
            Reason::InvalidKey,
        ),
        four_in_a_row(&keys.full.secret, &format!("{base}/v1/few")),
        passes("A public route asks for no key", curl(None, "", &format!("{base}/public"))),
        refused(
            "What no route names is not there",
            curl(Some(&keys.full.secret), "", &format!("{base}/elsewhere")),
            Reason::RouteNotFound,
        ),
    ]
}

fn api_calls(base: &str, keys: &Keys) -> Vec<Call> {
    let root = format!("{base}/");
    let passes = |about, run| Call { about, run, status: None, body: None };
    let post = "-X POST -d hello";
    vec![
        passes("The full key may", curl(Some(&keys.full.secret), "", &root)),
        passes("The read-only key may read", curl(Some(&keys.read_only.secret), "", &root)),
        refused(
            "but not write",
            curl(Some(&keys.read_only.secret), post, &root),
            Reason::MissingScope,
        ),
        passes("The test key", curl(Some(&keys.test.secret), "", &root)),
        refused("No key", curl(None, "", &root), Reason::MissingKey),
        refused(
            "A key that nobody was given",
            curl(Some(&keys.unknown), "", &root),
            Reason::InvalidKey,
        ),
    ]
}

fn four_in_a_row(secret: &SecretText, url: &str) -> Call {
    let run = format!(
        "for n in 1 2 3 4; do curl -sS -o /dev/null -w '%{{http_code}} ' \
         -H 'Authorization: Bearer {}' {url}; done; echo",
        secret.expose()
    );
    Call {
        about: "This route takes three a minute from each key (once more within it: all 429)",
        run,
        status: None,
        body: Some("200 200 200 429".to_owned()),
    }
}

fn curl(secret: Option<&SecretText>, options: &str, url: &str) -> String {
    let header = secret.map(|s| format!(" -H 'Authorization: Bearer {}'", s.expose()));
    let options = if options.is_empty() { String::new() } else { format!(" {options}") };
    format!("curl -sSi{options}{} {url}", header.unwrap_or_default())
}

fn refused(about: &'static str, run: String, reason: Reason) -> Call {
    let message = reason.message().replace("{scope}", "notes:write");
    let body = json!({ "error": { "code": reason.code(), "message": message } });
    Call { about, run, status: Some(reason.status()), body: Some(body.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_prints_lines_to_paste_with_what_each_will_answer() {
        let key = |name, text: &str| DemoKey {
            name,
            id: KeyId::from_text("key_1"),
            secret: SecretText::new(text.to_owned()),
        };
        let keys = Keys {
            full: key("full", "sk_live_full"),
            read_only: key("read-only", "sk_live_read"),
            test: key("test", "sk_test_full"),
            unknown: SecretText::new("sk_live_unknown".to_owned()),
            token: SecretText::new("kga_admin".to_owned()),
        };
        let data = "127.0.0.1:8080".parse().unwrap();
        let admin = "127.0.0.1:8081".parse().unwrap();
        for echoes in [true, false] {
            let plan = Plan { listen: data, upstream: "http://127.0.0.1:9000".to_owned(), echoes };
            let name = if echoes { "echo" } else { "api" };
            insta::assert_snapshot!(name, Shown::new(data, admin, &plan, &keys).in_words());
        }
    }
}
