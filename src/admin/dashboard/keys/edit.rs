//! `/keys/{id}/edit`: changing a key in place. Its secrets, and what it has spent and counted, stay.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};

use super::form::{End, KeyForm, Typed, Wrong, blame, read};
use super::show::find;
use crate::admin::AdminState;
use crate::admin::access::Caller;
use crate::admin::dashboard::words::Moment;
use crate::admin::dashboard::{Editor, Fields, Frame, PageError, Section, page};
use crate::auth::mint::{Grants, KeyChange, MintError};
use crate::config::Config;
use crate::domain::{Key, KeyId, Owner};
use crate::store::Loaded;

#[derive(Template)]
#[template(path = "keys/edit.html")]
struct Edit {
    frame: Frame,
    id: KeyId,
    name: String,
    /// When it ends as it is.
    kept: String,
    /// The record that the form was made of.
    seen: String,
    form: KeyForm,
}

pub(super) async fn show(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
) -> Result<Response, PageError> {
    let found = find(&state, &KeyId::from_text(id)).await?;
    let fields = fields(&found.key.key, &found.owner);
    form(&state, &caller, &found, fields, Wrong::new()).await
}

pub(super) async fn edit(
    State(state): State<AdminState>,
    Editor(caller): Editor,
    Path(id): Path<String>,
    fields: Fields,
) -> Result<Response, PageError> {
    let id = KeyId::from_text(id);
    let found = find(&state, &id).await?;
    let (key, loaded, asker) = (&found.key.key, state.loaded(), caller.asker());
    if fields.text("seen") != seen(key) {
        let why = "Somebody has changed this key meanwhile. Below stands what you typed; what it is \
                   now is on its page. Send it again to put yours in its place.";
        let wrong = Wrong::from([("", why.to_owned())]);
        return form(&state, &caller, &found, fields, wrong).await;
    }
    let typed = match read(&fields, state.now()) {
        Ok(typed) => typed,
        Err(wrong) => return form(&state, &caller, &found, fields, wrong).await,
    };
    let days = typed.rotation_interval_days;
    let rescheduled = days != key.rotation_interval_days;
    let change = change(key, &found.owner, typed, &loaded.config);
    let is_changed = change != KeyChange::default();
    let done = if is_changed || rescheduled { "changed" } else { "unchanged" };
    let mint = state.mint(&loaded, &asker);
    let changed = async {
        if is_changed {
            mint.update(&id, change).await?;
        }
        if rescheduled {
            mint.schedule(&id, days).await?;
        }
        Ok::<(), MintError>(())
    };
    match changed.await {
        Ok(()) => Ok(Redirect::to(&format!("/keys/{id}?done={done}")).into_response()),
        Err(error) => match blame(&error) {
            Some(wrong) => form(&state, &caller, &found, fields, wrong).await,
            None => Err(error.into()),
        },
    }
}

/// What of a key is other than it is.
fn change(key: &Key, owner: &Owner, typed: Typed, config: &Config) -> KeyChange {
    let named = typed.owner.filter(|named| *named != owner.name && *named != owner.id.as_str());
    KeyChange {
        name: (typed.name != key.name).then_some(typed.name),
        owner: named,
        grants: regranted(key, typed.grants, config),
        limits: (typed.limits != key.limits).then_some(typed.limits),
        allowed_ips: (typed.allowed_ips != key.allowed_ips).then_some(typed.allowed_ips),
        monthly_budget: (typed.monthly_budget != key.monthly_budget)
            .then_some(typed.monthly_budget),
        expires_at: match typed.expires {
            End::Kept => None,
            End::Never => key.expires_at.is_some().then_some(None),
            End::At(at) => (key.expires_at != Some(at)).then_some(Some(at)),
        },
        metadata: renoted(&key.metadata, typed.metadata),
    }
}

/// All scopes anew, if they are others; in which order they were ticked says nothing.
fn regranted(key: &Key, grants: Grants, config: &Config) -> Option<Grants> {
    let bundles = grants.permissions.iter().filter_map(|name| config.permissions.get(name));
    let known = bundles.clone().count() == grants.permissions.len();
    let wished: BTreeSet<&String> = grants.scopes.iter().chain(bundles.flatten()).collect();
    let same = known && wished == key.scopes.iter().collect();
    (!same).then_some(grants)
}

/// Notes to set and to remove.
fn renoted(
    before: &BTreeMap<String, String>,
    after: BTreeMap<String, String>,
) -> BTreeMap<String, Option<String>> {
    let gone = before.keys().filter(|name| !after.contains_key(*name)).cloned();
    let mut notes: BTreeMap<String, Option<String>> = gone.map(|name| (name, None)).collect();
    let set = after.into_iter().filter(|(name, value)| before.get(name) != Some(value));
    notes.extend(set.map(|(name, value)| (name, Some(value))));
    notes
}

/// A record as the form shows it.
fn fields(key: &Key, owner: &Owner) -> Fields {
    let mut fields = vec![
        ("name", key.name.clone()),
        ("owner", owner.name.clone()),
        ("limits", spaced(&key.limits, " ")),
        ("allowed_ips", spaced(&key.allowed_ips, "\n")),
        ("budget", key.monthly_budget.map(|it| it.to_string()).unwrap_or_default()),
        ("rotate_every", key.rotation_interval_days.map(|it| it.to_string()).unwrap_or_default()),
    ];
    let notes = key.metadata.iter().map(|(name, value)| format!("{name}={value}"));
    fields.push(("metadata", notes.collect::<Vec<_>>().join("\n")));
    fields.extend(key.scopes.iter().map(|scope| ("scope", scope.clone())));
    Fields(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn spaced<T: ToString>(items: &[T], space: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(space)
}

/// A digest of what an operator may change, to see that nobody else has.
fn seen(key: &Key) -> String {
    let Key { name, owner_id, scopes, limits, allowed_ips, monthly_budget, .. } = key;
    let Key { expires_at, metadata, rotation_interval_days, .. } = key;
    let record = serde_json::json!([
        name,
        owner_id,
        scopes,
        limits,
        allowed_ips,
        monthly_budget,
        expires_at,
        metadata,
        rotation_interval_days,
    ]);
    blake3::hash(record.to_string().as_bytes()).to_hex().to_string()
}

async fn form(
    state: &AdminState,
    caller: &Caller,
    found: &Loaded,
    fields: Fields,
    wrong: Wrong,
) -> Result<Response, PageError> {
    let key = &found.key.key;
    if key.revoked_at.is_some() {
        return Err(MintError::Revoked(key.id.clone()).into());
    }
    let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let kept = match Moment::of(key.expires_at, state.now()) {
        Some(end) => format!("As it is: {} ({})", end.utc(), end.relative()),
        None => "As it is: never".to_owned(),
    };
    let shown = page(&Edit {
        frame: Frame::new(format!("Edit {}", key.name), Section::Keys, caller),
        id: key.id.clone(),
        name: key.name.clone(),
        kept,
        seen: seen(key),
        form: KeyForm::new(state, fields, wrong).await?,
    });
    Ok((status, shown).into_response())
}

#[cfg(test)]
mod tests {
    use std::path::Path as File;

    use jiff::Timestamp;

    use super::*;
    use crate::config::{Environment as Variables, parse};
    use crate::domain::{Environment, OwnerId};

    fn key() -> (Key, Owner, Config) {
        let now = Timestamp::UNIX_EPOCH;
        let owner = Owner::new(OwnerId::from_text("own_1"), "acme".to_owned(), now);
        let key = Key {
            scopes: vec!["a:read".to_owned(), "b:*".to_owned()],
            limits: vec!["60/min".parse().unwrap()],
            allowed_ips: vec!["10.0.0.0/8".parse().unwrap()],
            monthly_budget: Some("50".parse().unwrap()),
            metadata: BTreeMap::from([("team".to_owned(), "core".to_owned())]),
            rotation_interval_days: Some(30),
            ..Key::new("k".to_owned(), owner.id.clone(), Environment::Live, now)
        };
        let text = "[scopes]\n\"a:read\" = \"\"\n\"b:c\" = \"\"\n[permissions]\nr = [\"a:read\"]\n";
        let config = parse(text, File::new("k.toml"), &Variables::default()).unwrap().config;
        (key, owner, config)
    }

    #[test]
    fn a_form_that_is_sent_as_it_was_shown_changes_nothing() {
        let (key, owner, config) = key();
        let typed = read(&fields(&key, &owner), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(typed.rotation_interval_days, Some(30));
        assert_eq!(change(&key, &owner, typed, &config), KeyChange::default());
    }

    #[test]
    fn only_what_is_other_is_changed_and_a_note_that_is_gone_is_removed() {
        let (key, owner, config) = key();
        let mut typed = read(&fields(&key, &owner), Timestamp::UNIX_EPOCH).unwrap();
        typed.grants = Grants { scopes: vec!["b:*".to_owned()], permissions: vec!["r".to_owned()] };
        typed.metadata = BTreeMap::from([("url".to_owned(), "x".to_owned())]);
        typed.monthly_budget = None;
        let notes =
            BTreeMap::from([("team".to_owned(), None), ("url".to_owned(), Some("x".to_owned()))]);
        let expected =
            KeyChange { monthly_budget: Some(None), metadata: notes, ..KeyChange::default() };
        assert_eq!(change(&key, &owner, typed, &config), expected);
    }
}
