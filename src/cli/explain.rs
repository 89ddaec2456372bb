//! `explain METHOD PATH`: what would become of a request, step by step.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};

use clap::Args;
use http::Method;

use super::Globals;
use super::failure::{Failure, Result};
use super::key::Named;
use super::output::table;
use super::session::Session;
use crate::domain::Explanation;
use crate::domain::explanation::{Answer, Outcome};
use crate::key::SecretText;
use crate::proxy;

/// Longer than any secret; what is longer is none.
const READ_AT_MOST: u64 = 4096;

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The request's method
    method: Method,
    /// The request's path, with its query if it has one
    path: String,
    /// As if it came with a good secret of this key
    #[arg(long, value_name = "ID", conflicts_with = "key_stdin")]
    key_id: Option<String>,
    /// As if it came with the secret on standard input
    #[arg(long)]
    key_stdin: bool,
    /// The client's address
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    ip: IpAddr,
}

/// Explains one request. Its outcome is told in words, and the exit code is 0 whatever it is.
pub(crate) async fn run(explain: Explain, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    let credential = credential(&explain, &session).await?;
    let question = proxy::explain::Question {
        method: explain.method,
        path: explain.path,
        credential,
        client: explain.ip,
    };
    let explanation =
        proxy::explain::explain(session.config(), &*session.store, &session.clock, question)
            .await?;
    globals.output().show(&explanation, || in_words(&explanation))
}

async fn credential(explain: &Explain, session: &Session) -> Result<proxy::explain::Credential> {
    if let Some(id) = &explain.key_id {
        let key = Named { id: id.clone() }.find(session).await?;
        return Ok(proxy::explain::Credential::Key(key.key.id));
    }
    if explain.key_stdin {
        return Ok(proxy::explain::Credential::Secret(secret_from_stdin()?));
    }
    Ok(proxy::explain::Credential::None)
}

fn secret_from_stdin() -> Result<SecretText> {
    let mut text = String::new();
    std::io::stdin()
        .take(READ_AT_MOST)
        .read_to_string(&mut text)
        .map_err(|error| Failure::failed(format!("standard input could not be read: {error}")))?;
    let secret = SecretText::new(text);
    let trimmed = secret.expose().trim();
    if trimmed.is_empty() {
        return Err(Failure::mistaken("there is no secret on standard input"));
    }
    Ok(SecretText::new(trimmed.to_owned()))
}

fn in_words(explanation: &Explanation) -> String {
    let Explanation { method, path, route, checks, answer } = explanation;
    let heading = match route {
        Some(route) => format!("{method} {path}  (route {route})"),
        None => format!("{method} {path}"),
    };
    let mark = |outcome| match outcome {
        Outcome::Passed => "ok",
        Outcome::Refused => "REFUSED",
        Outcome::Skipped => "-",
    };
    let row = |check: &crate::domain::explanation::Check| {
        vec![check.step.to_owned(), mark(check.outcome).to_owned(), check.detail.clone()]
    };
    let checks = table(&["STEP", "OUTCOME", "DETAIL"], checks.iter().map(row).collect());
    format!("{heading}\n\n{checks}\n\n{}", ending(answer))
}

fn ending(answer: &Answer) -> String {
    let Answer { status, reason, code, message } = answer;
    match (status, reason) {
        (Some(status), Some(reason)) => {
            let code = code.as_deref().unwrap_or("-");
            format!("The client would get {status} {code} ({reason}): {message}")
        }
        _ => message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Reason;
    use crate::domain::explanation::Check;

    #[test]
    fn a_refusal_is_told_step_by_step() {
        let check =
            |step, outcome, detail: &str| Check { step, outcome, detail: detail.to_owned() };
        let explanation = Explanation {
            method: "POST".to_owned(),
            path: "/v1/notes".to_owned(),
            route: Some("/v1/notes".to_owned()),
            checks: vec![
                check("route", Outcome::Passed, "/v1/notes to upstream api"),
                check("address", Outcome::Skipped, "the key may call from anywhere"),
                check("scope", Outcome::Refused, "needs notes:write, has notes:read"),
            ],
            answer: Answer {
                status: Some(403),
                reason: Some(Reason::MissingScope),
                code: Some("forbidden".to_owned()),
                message: "API key does not have required scope: notes:write".to_owned(),
            },
        };
        insta::assert_snapshot!(in_words(&explanation), @r"
        POST /v1/notes  (route /v1/notes)

        STEP     OUTCOME  DETAIL
        route    ok       /v1/notes to upstream api
        address  -        the key may call from anywhere
        scope    REFUSED  needs notes:write, has notes:read

        The client would get 403 forbidden (missing_scope): API key does not have required scope: notes:write
        ");
    }

    #[test]
    fn a_forwarded_request_is_told_where_it_goes() {
        let answer = Answer {
            status: None,
            reason: None,
            code: None,
            message: "It would be forwarded to http://127.0.0.1:9000.".to_owned(),
        };
        assert_eq!(ending(&answer), "It would be forwarded to http://127.0.0.1:9000.");
    }
}
