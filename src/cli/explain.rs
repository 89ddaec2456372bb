//! `explain METHOD PATH`: what would become of a request, step by step. `explain --request ID`: what
//! became of one that the running gateway refused lately.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};

use clap::Args;
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;

use super::failure::{Failure, Result};
use super::key::Named;
use super::output::{table, time};
use super::session::Session;
use super::{Globals, running};
use crate::domain::Explanation;
use crate::domain::explanation::{Answer, Check};
use crate::key::SecretText;
use crate::proxy;

/// Longer than any secret; what is longer is none.
const READ_AT_MOST: u64 = 4096;

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The request's method
    #[arg(required_unless_present = "request")]
    method: Option<Method>,
    /// The request's path, with its query if it has one
    #[arg(required_unless_present = "request")]
    path: Option<String>,
    /// Ask the running gateway why it refused this request; its `X-Request-Id`
    #[arg(long, value_name = "REQUEST_ID")]
    #[arg(conflicts_with_all = ["method", "path", "key_id", "key_stdin", "ip"])]
    request: Option<String>,
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

/// A request as it is told of, here or by the running gateway.
#[derive(Debug, Deserialize)]
struct Told {
    method: String,
    path: String,
    route: Option<String>,
    checks: Vec<Made>,
    answer: Ending,
}

#[derive(Debug, Deserialize)]
struct Made {
    step: String,
    outcome: String,
    detail: String,
}

#[derive(Debug, Deserialize)]
struct Ending {
    status: Option<u16>,
    reason: Option<String>,
    code: Option<String>,
    message: String,
}

/// What the running gateway says beside it of a request that it refused.
#[derive(Debug, Deserialize)]
struct Refused {
    request_id: String,
    at: Timestamp,
    client: IpAddr,
    #[serde(flatten)]
    told: Told,
}

/// Explains one request. Its outcome is told in words, and the exit code is 0 whatever it is.
pub(crate) async fn run(explain: Explain, globals: &Globals) -> Result {
    let session = Session::open(globals).await?;
    if let Some(id) = &explain.request {
        return of_refused(&session, id, globals).await;
    }
    let credential = credential(&explain, &session).await?;
    let (Some(method), Some(path)) = (explain.method, explain.path) else {
        unreachable!("both are required where no request is named")
    };
    let question = proxy::explain::Question { method, path, credential, client: explain.ip };
    let explanation =
        proxy::explain::explain(session.config(), &*session.store, &session.clock, question)
            .await?;
    globals.output().show(&explanation, || in_words(&Told::from(&explanation)))
}

/// Asks the running gateway for what it kept of a request.
async fn of_refused(session: &Session, id: &str, globals: &Globals) -> Result {
    let is_id = |id: &str| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        (1..=64).contains(&id.len()) && id.bytes().all(fits)
    };
    if !is_id(id) {
        let wrong = "a request id is 1 to 64 of letters, digits, `.`, `_` and `-`";
        return Err(Failure::mistaken(wrong).with_hint("it is the answer's `X-Request-Id`"));
    }
    let path = format!("/admin/v1/explain?request={id}");
    let (status, answer) = running::ask(session, &path).await?;
    if status != 200 {
        let message = answer["error"]["message"].as_str().unwrap_or("it says nothing more");
        return Err(Failure::failed(format!("the gateway answers {status}: {message}")));
    }
    globals.output().show(&answer, || match serde_json::from_value(answer.clone()) {
        Ok(Refused { request_id, at, client, told }) => {
            format!("{request_id} from {client}, {}\n\n{}", time(at), in_words(&told))
        }
        // Of another version: what it says is better than nothing.
        Err(_) => answer.to_string(),
    })
}

impl From<&Explanation> for Told {
    fn from(explanation: &Explanation) -> Self {
        let Explanation { method, path, route, checks, answer } = explanation.clone();
        let step = |Check { step, outcome, detail }: Check| Made {
            step: step.to_owned(),
            outcome: outcome.to_string(),
            detail,
        };
        let Answer { status, reason, code, message } = answer;
        let reason = reason.map(|reason| reason.to_string());
        let answer = Ending { status, reason, code, message };
        Self { method, path, route, checks: checks.into_iter().map(step).collect(), answer }
    }
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

fn in_words(told: &Told) -> String {
    let Told { method, path, route, checks, answer } = told;
    let heading = match route {
        Some(route) => format!("{method} {path}  (route {route})"),
        None => format!("{method} {path}"),
    };
    let mark = |outcome: &str| match outcome {
        "passed" => "ok",
        "refused" => "REFUSED",
        _ => "-",
    };
    let row = |check: &Made| {
        vec![check.step.clone(), mark(&check.outcome).to_owned(), check.detail.clone()]
    };
    let checks = table(&["STEP", "OUTCOME", "DETAIL"], checks.iter().map(row).collect());
    format!("{heading}\n\n{checks}\n\n{}", ending(answer))
}

fn ending(answer: &Ending) -> String {
    let Ending { status, reason, code, message } = answer;
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
    use crate::domain::explanation::Outcome;

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
        insta::assert_snapshot!(in_words(&Told::from(&explanation)), @r"
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
        let answer = Ending {
            status: None,
            reason: None,
            code: None,
            message: "It would be forwarded to http://127.0.0.1:9000.".to_owned(),
        };
        assert_eq!(ending(&answer), "It would be forwarded to http://127.0.0.1:9000.");
    }
}
