//! `[webhooks]`: which events go where, and by what they are signed.

use crate::config::files;
use crate::config::problem::{Complaints, suggestion};
use crate::config::tree::{Table, Word};
use crate::config::types::{Endpoint, Webhooks};
use crate::domain::{EventKind, EventPattern, WebhookUrl, WebhookUrlError};
use crate::key::SigningSecret;

pub(super) fn check(webhooks: &Table, complaints: &mut Complaints<'_>) -> Webhooks {
    let allow_private_networks = webhooks.bool("allow_private_networks");
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for given in webhooks.tables("endpoints") {
        let (url, secret) = (given.word("url"), given.word("secret"));
        let url = url.and_then(|word| url_of(word, allow_private_networks, complaints));
        let secret = secret.and_then(|word| secret_of(word, complaints));
        let events = patterns(&given.words("events"), complaints);
        let (Some(url), Some(secret)) = (url, secret) else { continue };
        if endpoints.iter().any(|known| known.url == url) {
            let problem = "another endpoint has this URL already";
            complaints.problem(given.place_of("url"), problem);
        }
        endpoints.push(Endpoint { url, events, secret });
    }
    Webhooks {
        allow_private_networks,
        ca_file: files::filled(webhooks, "ca_file").map(Into::into),
        key_file: files::filled(webhooks, "key_file").map(Into::into),
        endpoints,
    }
}

/// Nothing of it is repeated: it may hold what only the endpoint should know.
fn url_of(word: Word<'_>, clear: bool, complaints: &mut Complaints<'_>) -> Option<WebhookUrl> {
    WebhookUrl::parse(word.text, clear)
        .map_err(|error| {
            let problem = format!("`webhooks.endpoints.url`: {error}");
            match error {
                WebhookUrlError::Clear => complaints.problem_with_hint(
                    word.at,
                    problem,
                    "on a network of your own, `webhooks.allow_private_networks = true` lets \
                     `http://` be"
                        .to_owned(),
                ),
                WebhookUrlError::Form | WebhookUrlError::Credentials => {
                    complaints.problem(word.at, problem);
                }
            }
        })
        .ok()
}

fn secret_of(word: Word<'_>, complaints: &mut Complaints<'_>) -> Option<SigningSecret> {
    let secret = SigningSecret::parse(word.text);
    if secret.is_none() {
        complaints.problem_with_hint(
            word.at,
            "`webhooks.endpoints.secret` must be `whsec_` and base64 of 24 to 64 bytes",
            "`echo \"whsec_$(openssl rand -base64 32)\"` makes one".to_owned(),
        );
    }
    secret
}

fn patterns(words: &[Word<'_>], complaints: &mut Complaints<'_>) -> Vec<EventPattern> {
    let mut patterns = Vec::with_capacity(words.len());
    for word in words {
        if let Ok(pattern) = word.text.parse() {
            patterns.push(pattern);
            continue;
        }
        let known = EventKind::ALL.iter().map(|kind| kind.name());
        let hint = suggestion(word.text, known.clone()).unwrap_or_else(|| {
            let names = known.collect::<Vec<_>>().join("`, `");
            format!("there are `*`, `key.*` and the like, `{names}`")
        });
        complaints.problem_with_hint(word.at, format!("there is no event {word}"), hint);
    }
    patterns
}
