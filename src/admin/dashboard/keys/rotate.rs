//! `/keys/{id}/rotate`: a new secret.

use std::time::Duration;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::create::again;
use super::facts::SecretRow;
use super::once::{self, Turn};
use super::secret;
use super::show::find;
use crate::admin::AdminState;
use crate::admin::access::Caller;
use crate::admin::dashboard::{Editor, Fields, Frame, PageError, Section, page};
use crate::auth::mint::MintError;
use crate::auth::view::KeyView;
use crate::config::units::{format_duration, parse_duration};
use crate::domain::{KeyId, Millionths};

#[derive(Template)]
#[template(path = "keys/rotate.html")]
struct Rotate {
    frame: Frame,
    id: KeyId,
    name: String,
    /// The live secrets, newest first.
    live: Vec<SecretRow>,
    /// The graces that are offered: as they are sent, in words.
    graces: Vec<(String, String)>,
    fields: Fields,
    once: String,
    wrong: Option<String>,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    form(&state, &caller, KeyId::from_text(id), Fields::default(), None).await
}

pub(super) async fn rotate(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
    headers: HeaderMap,
    fields: Fields,
) -> Result<Response, PageError> {
    let id = KeyId::from_text(id);
    let grace = match grace(&fields) {
        Ok(grace) => grace,
        Err(wrong) => return form(&state, &caller, id, fields, Some(wrong)).await,
    };
    let claim = match once::turn(&state, &caller, &fields, &format!("rotate {id}")).await? {
        Turn::First(claim) => claim,
        Turn::Made(key) => return Ok(again(&caller, Some(key))),
        Turn::Unknown => return Ok(again(&caller, None)),
        Turn::Stale => {
            let why = "This form has lain too long. Look it over and send it again.".to_owned();
            return form(&state, &caller, id, fields, Some(why)).await;
        }
    };
    let (loaded, asker) = (state.loaded(), caller.asker());
    let replace = fields.has("replace", "yes");
    match state.mint(&loaded, &asker).rotate(&id, grace, replace).await {
        Ok((held, minted)) => {
            once::made(&state, &claim, &id).await;
            secret::shown(&state, &caller, &headers, &held, &minted).await
        }
        Err(error @ (MintError::Invalid { .. } | MintError::TwoLive(_))) => {
            once::not_made(&state, &claim).await;
            let why = match &error {
                MintError::TwoLive(_) => {
                    "It has two live secrets already. Tick the box to end the \
                                          older one now, or wait until its grace is over."
                        .to_owned()
                }
                other => other.to_string(),
            };
            form(&state, &caller, id, fields, Some(why)).await
        }
        Err(error) => Err(error.into()),
    }
}

fn grace(fields: &Fields) -> Result<Duration, String> {
    let chosen = match fields.text("grace") {
        "other" => fields.text("grace_other"),
        chosen => chosen,
    };
    parse_duration(chosen).map_err(|error| format!("The grace: {error}."))
}

async fn form(
    state: &AdminState,
    caller: &Caller,
    id: KeyId,
    fields: Fields,
    wrong: Option<String>,
) -> Result<Response, PageError> {
    let (now, loaded) = (state.now(), state.loaded());
    let held = find(state, &id).await?.key;
    if held.key.revoked_at.is_some() {
        return Err(MintError::Revoked(id).into());
    }
    let policy = &loaded.config.keys;
    let view = KeyView::new(&held, policy, Millionths::default(), now);
    let secrets = view.secrets.iter().rev().map(|secret| SecretRow::new(secret, now));
    let status = if wrong.is_none() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let shown = page(&Rotate {
        frame: Frame::new(format!("Rotate {}", held.key.name), Section::Keys, caller),
        name: held.key.name.clone(),
        live: secrets.filter(|secret| secret.live).collect(),
        graces: graces(policy.rotation_grace),
        fields,
        once: once::name(now)?,
        wrong,
        id,
    });
    Ok((status, shown).into_response())
}

/// The configuration's grace first, then shorter ones.
fn graces(usual: Duration) -> Vec<(String, String)> {
    let hour = Duration::from_hours(1);
    let mut graces =
        vec![(format_duration(usual), format!("{}, as usual", format_duration(usual)))];
    for (grace, words) in [(24 * hour, "1 day"), (hour, "1 hour")] {
        if grace != usual {
            graces.push((format_duration(grace), words.to_owned()));
        }
    }
    graces.push(("0".to_owned(), "Not at all: it ends now".to_owned()));
    graces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_grace_that_is_offered_is_taken() {
        for (value, _) in graces(Duration::from_hours(7 * 24)) {
            let fields = Fields(vec![("grace".to_owned(), value.clone())]);
            assert!(grace(&fields).is_ok(), "{value}");
        }
        let other = |text: &str| {
            Fields(vec![
                ("grace".to_owned(), "other".to_owned()),
                ("grace_other".to_owned(), text.to_owned()),
            ])
        };
        assert_eq!(grace(&other("90m")), parse_duration("90m").map_err(|e| e.to_string()));
        assert!(grace(&other("soon")).unwrap_err().contains("grace"));
        assert!(grace(&Fields::default()).is_err());
    }
}
