//! The page that shows a new secret, once.

use askama::Template;
use axum::http::HeaderMap;
use axum::http::header::HOST;
use axum::response::Response;
use http::header::AUTHORIZATION;

use super::may::routes;
use super::same::quoted;
use crate::admin::AdminState;
use crate::admin::access::Caller;
use crate::admin::dashboard::words::Moment;
use crate::admin::dashboard::{Frame, PageError, Section, page};
use crate::domain::{Key, KeyWithSecrets};
use crate::key::format::Minted;
use crate::proxy::plan::Plan;

#[derive(Template)]
#[template(path = "keys/secret.html")]
struct SecretPage<'a> {
    frame: Frame,
    id: &'a str,
    name: &'a str,
    secret: &'a str,
    /// Whether the key is new, too.
    created: bool,
    scopes: &'a [String],
    /// Until when the secret before works.
    old_ends: Option<Moment>,
    try_it: String,
}

/// Shows a secret that was minted just now. Nobody can show it again.
pub(super) async fn shown(
    state: &AdminState,
    caller: &Caller,
    headers: &HeaderMap,
    held: &KeyWithSecrets,
    minted: &Minted,
) -> Result<Response, PageError> {
    let (now, loaded, plan) = (state.now(), state.loaded(), state.live.plan());
    let family = state.mint(&loaded, &caller.asker()).family(&held.key.id).await?;
    let created = held.secrets.len() == 1;
    let before = held.secrets.iter().rev().find(|secret| secret.id != minted.id);
    let old_ends = before.filter(|_| !created).and_then(|secret| secret.expires_at);
    let title = if created { "Key created" } else { "New secret" };
    Ok(page(&SecretPage {
        frame: Frame::new(title, Section::Keys, caller),
        id: held.key.id.as_str(),
        name: &held.key.name,
        secret: minted.text.expose(),
        created,
        scopes: &held.key.scopes,
        old_ends: Moment::of(old_ends, now),
        try_it: try_it(&plan, &family, headers, minted.text.expose()),
    }))
}

/// A call with the secret that the gateway lets through, if there is a route for one.
fn try_it(plan: &Plan, family: &[Key], headers: &HeaderMap, secret: &str) -> String {
    let config = &plan.config;
    let (rows, calls) = routes(plan, family);
    let free = |path: &str| !path.contains('{') && !path.contains('*');
    let reads = |methods: &str| methods == "any" || methods.split(", ").any(|m| m == "GET");
    let good = |needs: &str| needs != "no key";
    let rows = rows.iter().chain(&calls);
    let path = rows
        .filter(|row| row.refused.is_none() && good(&row.needs))
        .find(|row| free(&row.path) && reads(&row.methods))
        .map_or("/", |row| row.path.as_str());
    let field = match config.keys.headers.first() {
        Some(name) if *name == AUTHORIZATION => format!("Authorization: Bearer {secret}"),
        Some(name) => format!("{name}: {secret}"),
        None => String::new(),
    };
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    let address = data_plane(config.server.listen.first(), headers);
    format!(
        "curl -i {} \\\n  -H {}",
        quoted(&format!("{scheme}://{address}{path}")),
        quoted(&field)
    )
}

/// Where clients go: the address that the gateway listens on or, where that is any, the host that
/// this page was asked of.
fn data_plane(listen: Option<&std::net::SocketAddr>, headers: &HeaderMap) -> String {
    let Some(listen) = listen else { return "localhost".to_owned() };
    if !listen.ip().is_unspecified() {
        return listen.to_string();
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let end = host.rfind(':').filter(|at| !host[*at..].contains(']')).unwrap_or(host.len());
    format!("{}:{}", &host[..end], listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_go_where_it_listens_or_to_the_host_that_was_asked() {
        let asked = |listen: &str, host: &'static str| {
            let headers = HeaderMap::from_iter([(HOST, http::HeaderValue::from_static(host))]);
            data_plane(Some(&listen.parse().unwrap()), &headers)
        };
        assert_eq!(asked("127.0.0.1:8080", "a:8081"), "127.0.0.1:8080");
        assert_eq!(asked("0.0.0.0:8080", "gate.example:8081"), "gate.example:8080");
        assert_eq!(asked("0.0.0.0:8080", "gate.example"), "gate.example:8080");
        assert_eq!(asked("[::]:8080", "[::1]:8081"), "[::1]:8080");
        assert_eq!(asked("[::]:8080", "[::1]"), "[::1]:8080");
    }
}
