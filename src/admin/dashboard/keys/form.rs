//! The form of a key: what can be chosen, what was typed, and what is wrong with it, field by field.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::admin::AdminState;
use crate::admin::dashboard::words::listed;
use crate::admin::dashboard::{Fields, PageError};
use crate::auth::mint::{Field, Grants, MintError};
use crate::config::Config;
use crate::domain::key::MAX_NAME;
use crate::domain::{AddressRange, Environment, KeyId, Limit, Millionths};
use crate::store::PageRequest;

/// Owners that are offered while one is typed.
const OFFERED: u32 = 200;
/// Ends that can be chosen, in days, as the form writes them.
const ENDS: [(&str, i64); 3] = [("30d", 30), ("90d", 90), ("365d", 365)];

/// What is wrong, by the field's name; what belongs to no field is under "".
pub(super) type Wrong = BTreeMap<&'static str, String>;

/// The form as it is shown.
pub(super) struct KeyForm {
    /// What was typed.
    pub(super) fields: Fields,
    pub(super) wrong: Wrong,
    pub(super) scopes: Vec<(String, String)>,
    /// Names with their scopes, space-separated.
    pub(super) permissions: Vec<(String, String)>,
    pub(super) owners: Vec<String>,
    pub(super) has_test: bool,
    /// The configuration's limits.
    pub(super) per_key: String,
}

impl KeyForm {
    /// The form with what was typed.
    pub(super) async fn new(
        state: &AdminState,
        fields: Fields,
        wrong: Wrong,
    ) -> Result<Self, PageError> {
        let loaded = state.loaded();
        let Config { scopes, permissions, keys, limits, .. } = &loaded.config;
        let owners = state.store.owners(&PageRequest { after: None, limit: OFFERED }).await?;
        let entry = |(name, entry): (&str, &crate::domain::scope::ScopeEntry)| {
            (name.to_owned(), entry.description.clone())
        };
        let bundle = |(name, scopes): (&String, &Vec<String>)| (name.clone(), scopes.join(" "));
        Ok(Self {
            fields,
            wrong,
            scopes: scopes.entries().map(entry).collect(),
            permissions: permissions.iter().map(bundle).collect(),
            owners: owners.rows.into_iter().map(|owner| owner.name).collect(),
            has_test: keys.format.test_prefix.is_some(),
            per_key: listed(&limits.per_key),
        })
    }

    /// What is wrong with that field.
    pub(super) fn wrong(&self, name: &str) -> Option<&str> {
        self.wrong.get(name).map(String::as_str)
    }

    /// What that field says.
    pub(super) fn text(&self, name: &str) -> &str {
        self.fields.text(name)
    }

    /// Whether that box is ticked.
    pub(super) fn has(&self, name: &str, value: &str) -> bool {
        self.fields.has(name, value)
    }

    /// Granted scopes that have no box of their own: wildcards, and what the catalogue lost.
    pub(super) fn other_scopes(&self) -> String {
        let boxed = |scope: &&str| *scope == "*" || self.scopes.iter().any(|(n, _)| n == scope);
        let others = self.fields.all("scope").filter(|scope| !boxed(scope));
        let typed = self.fields.words("other_scopes");
        others.chain(typed).collect::<Vec<_>>().join(" ")
    }
}

/// What a form asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Typed {
    pub(super) name: String,
    pub(super) owner: Option<String>,
    pub(super) parent: Option<KeyId>,
    pub(super) environment: Environment,
    pub(super) grants: Grants,
    pub(super) limits: Vec<Limit>,
    pub(super) allowed_ips: Vec<AddressRange>,
    pub(super) monthly_budget: Option<Millionths>,
    pub(super) expires: End,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) rotation_interval_days: Option<u32>,
}

/// When a key is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it is, or as the key above does.
    Kept,
    Never,
    At(Timestamp),
}

/// Reads a form; all that is wrong at once.
pub(super) fn read(fields: &Fields, now: Timestamp) -> Result<Typed, Wrong> {
    let mut wrong = Wrong::new();
    let scopes = fields.all("scope").chain(fields.words("other_scopes"));
    let typed = Typed {
        name: name(fields, &mut wrong),
        owner: fields.given("owner").map(str::to_owned),
        parent: fields.given("parent").map(KeyId::from_text),
        environment: fields.text("environment").parse().unwrap_or(Environment::Live),
        grants: Grants {
            scopes: scopes.map(str::to_owned).collect(),
            permissions: fields.all("permission").map(str::to_owned).collect(),
        },
        limits: list(fields, "limits", &mut wrong),
        allowed_ips: list(fields, "allowed_ips", &mut wrong),
        monthly_budget: one(fields, "budget", &mut wrong),
        expires: end(fields, now, &mut wrong),
        metadata: notes(fields, &mut wrong),
        rotation_interval_days: one(fields, "rotate_every", &mut wrong),
    };
    if wrong.is_empty() { Ok(typed) } else { Err(wrong) }
}

/// Where an error of what was asked for belongs; `None`: it is not the asker's.
pub(super) fn blame(error: &MintError) -> Option<Wrong> {
    let field = match error {
        MintError::TooWide { field: Field::Expiry, .. } => "expires",
        MintError::TooWide { field: Field::Budget, .. } => "budget",
        MintError::TooWide { field: Field::Addresses, .. } => "allowed_ips",
        MintError::TooWide { field: Field::Limits, .. } => "limits",
        MintError::MissingScope(_) => "scope",
        MintError::NoSuchOwner { .. } => "owner",
        MintError::NoSuchKey(_) => "parent",
        MintError::Invalid { .. }
        | MintError::NoSuchSecret { .. }
        | MintError::Revoked(_)
        | MintError::TwoLive(_) => "",
        MintError::Random(_) | MintError::Hash(_) | MintError::Store(_) => return None,
    };
    let hint = match error {
        MintError::Invalid { hint: Some(hint), .. } => format!("; {hint}"),
        MintError::NoSuchOwner { nearest: Some(nearest), .. } => {
            format!("; did you mean “{nearest}”?")
        }
        _ => String::new(),
    };
    Some(Wrong::from([(field, format!("{error}{hint}"))]))
}

fn name(fields: &Fields, wrong: &mut Wrong) -> String {
    let name = fields.text("name");
    if name.is_empty() || name.chars().count() > MAX_NAME {
        wrong.insert("name", format!("A name has 1 to {MAX_NAME} characters."));
    }
    name.to_owned()
}

fn one<T: FromStr<Err: Display>>(
    fields: &Fields,
    name: &'static str,
    wrong: &mut Wrong,
) -> Option<T> {
    let read = fields.given(name)?.parse();
    read.inspect_err(|error| drop(wrong.insert(name, format!("{error}.")))).ok()
}

fn list<T: FromStr<Err: Display>>(
    fields: &Fields,
    name: &'static str,
    wrong: &mut Wrong,
) -> Vec<T> {
    let mut read = Vec::new();
    for word in fields.words(name) {
        match word.parse() {
            Ok(value) => read.push(value),
            Err(error) => drop(wrong.insert(name, format!("“{word}”: {error}."))),
        }
    }
    read
}

/// When the key is to end.
fn end(fields: &Fields, now: Timestamp, wrong: &mut Wrong) -> End {
    let chosen = fields.text("expires");
    if let Some((_, days)) = ENDS.into_iter().find(|(name, _)| *name == chosen) {
        let at = now.checked_add(SignedDuration::from_hours(24 * days));
        return End::At(at.unwrap_or(Timestamp::MAX));
    }
    match chosen {
        "never" => End::Never,
        "date" => {
            let day = fields.text("expires_on").parse::<Date>().ok();
            let at = day.and_then(|day| Some(day.to_zoned(TimeZone::UTC).ok()?.timestamp()));
            if let Some(at) = at.filter(|at| *at > now) {
                return End::At(at);
            }
            let why = "Choose a day to come; the key ends at 00:00 UTC of it.";
            wrong.insert("expires", why.to_owned());
            End::Kept
        }
        _ => End::Kept,
    }
}

fn notes(fields: &Fields, wrong: &mut Wrong) -> BTreeMap<String, String> {
    let mut notes = BTreeMap::new();
    let lines = fields.text("metadata").lines().map(str::trim).filter(|line| !line.is_empty());
    for line in lines {
        let Some((name, value)) = line.split_once('=').filter(|(name, _)| !name.trim().is_empty())
        else {
            wrong.insert("metadata", format!("“{line}”: write NAME=VALUE, one a line."));
            continue;
        };
        if notes.insert(name.trim().to_owned(), value.trim().to_owned()).is_some() {
            wrong.insert("metadata", format!("“{}” is there twice.", name.trim()));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields(pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    }

    fn now() -> Timestamp {
        "2026-11-29T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_form_is_read_into_what_it_asks_for() {
        let typed = read(
            &fields(&[
                ("name", " Nightly "),
                ("scope", "a:read"),
                ("other_scopes", "b:* c:read"),
                ("permission", "write"),
                ("limits", "60/min, 1000/hour"),
                ("allowed_ips", "10.0.0.0/8\r\n192.0.2.1"),
                ("budget", "50"),
                ("expires", "date"),
                ("expires_on", "2027-01-31"),
                ("metadata", "team=core\r\n\r\nurl=a=b"),
                ("rotate_every", "90"),
                ("environment", "test"),
            ]),
            now(),
        );
        let typed = typed.unwrap();
        assert_eq!(typed.name, "Nightly");
        assert_eq!(typed.grants.scopes, ["a:read", "b:*", "c:read"]);
        assert_eq!(typed.grants.permissions, ["write"]);
        assert_eq!((typed.limits.len(), typed.allowed_ips.len()), (2, 2));
        assert_eq!(typed.monthly_budget, Millionths::new(50_000_000));
        assert_eq!(typed.expires, End::At("2027-01-31T00:00:00Z".parse().unwrap()));
        assert_eq!(typed.metadata["url"], "a=b");
        assert_eq!(
            (typed.rotation_interval_days, typed.environment),
            (Some(90), Environment::Test)
        );
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_each_by_its_field() {
        let wrong = read(
            &fields(&[
                ("limits", "60/minute"),
                ("allowed_ips", "10.0.0.0/99"),
                ("budget", "much"),
                ("expires", "date"),
                ("expires_on", "2026-11-29"),
                ("metadata", "no sign"),
                ("rotate_every", "soon"),
            ]),
            now(),
        );
        let wrong = wrong.unwrap_err();
        let names: Vec<&str> = wrong.keys().copied().collect();
        assert_eq!(
            names,
            ["allowed_ips", "budget", "expires", "limits", "metadata", "name", "rotate_every"]
        );
        assert!(wrong["limits"].contains("60/minute") && wrong["limits"].contains("like 60/min"));
    }

    #[test]
    fn an_end_is_so_far_from_now_or_never_or_left_alone() {
        let end =
            |chosen| read(&fields(&[("name", "k"), ("expires", chosen)]), now()).unwrap().expires;
        assert_eq!(end("30d"), End::At("2026-12-29T12:00:00Z".parse().unwrap()));
        assert_eq!((end("never"), end("")), (End::Never, End::Kept));
    }
}
