//! `key show`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use serde::Serialize;

use super::owner_names;
use crate::auth::view::{KeyView, RotationView, SecretView};
use crate::cli::failure::Result;
use crate::cli::output::{Output, fields, joined, table, time, time_or};
use crate::cli::session::Session;
use crate::domain::{Key, KeyId, KeyWithSecrets, Millionths, PublicId};
use crate::store::{KeyFilter, PageRequest};

/// A key as programs get it: the object, and from where each secret was last used.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    key: KeyView<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    last_used_from: BTreeMap<PublicId, IpAddr>,
}

impl<'a> Shown<'a> {
    fn new(key: KeyView<'a>) -> Self {
        let used_from = |secret: &SecretView<'_>| Some((secret.id, secret.last_used_from?));
        let last_used_from = key.secrets.iter().filter_map(used_from).collect();
        Self { key, last_used_from }
    }
}

/// Shows one key.
pub(crate) async fn run(session: &Session, key: &KeyWithSecrets, output: Output) -> Result {
    let shows = Shown::new(session.view(key).await?);
    let view = &shows.key;
    let names = owner_names(session, std::slice::from_ref(key)).await?;
    let owner = names.get(view.owner).map_or("?", String::as_str);
    let revoked = key.key.revoked_at.map(|at| (at, key.key.revoke_reason.as_deref()));
    let below = if output.json { Vec::new() } else { descendants(session, key).await? };
    let enforced = session.config().keys.enforce_rotation;
    output.show(&shows, || {
        let tree = tree(&below, &key.key.id, session.now());
        format!("{}{tree}", shown(view, owner, revoked, enforced))
    })
}

/// Every key under one, newest first.
async fn descendants(session: &Session, key: &KeyWithSecrets) -> Result<Vec<Key>> {
    let filter = KeyFilter { ancestor: Some(key.key.id.clone()), ..KeyFilter::default() };
    let (mut below, mut after) = (Vec::new(), None);
    loop {
        let page = session.store.keys(&filter, &PageRequest { after, limit: 1_000 }).await?;
        below.extend(page.rows.into_iter().map(|held| held.key));
        match page.next_cursor {
            Some(cursor) => after = Some(cursor),
            None => return Ok(below),
        }
    }
}

/// The keys below one, oldest first, each under its parent.
fn tree(below: &[Key], top: &KeyId, now: Timestamp) -> String {
    let mut rows = Vec::new();
    let mut open: Vec<(&KeyId, usize)> = vec![(top, 0)];
    while let Some((id, depth)) = open.pop() {
        if let Some(key) = below.iter().find(|key| key.id == *id) {
            let spends = budget(key.monthly_budget);
            let id = format!("{}{}", "  ".repeat(depth - 1), key.id);
            rows.push(vec![id, key.name.clone(), key.status(now).name().to_owned(), spends]);
        }
        let children = below.iter().filter(|key| key.parent_id.as_ref() == Some(id));
        open.extend(children.map(|key| (&key.id, depth + 1)));
    }
    if rows.is_empty() {
        return String::new();
    }
    format!("\n\n{}", table(&["CHILD", "NAME", "STATUS", "BUDGET"], rows))
}

fn shown(
    key: &KeyView<'_>,
    owner: &str,
    revoked: Option<(Timestamp, Option<&str>)>,
    enforced: bool,
) -> String {
    let mut rows = vec![
        ("Id", key.id.to_string()),
        ("Name", key.name.to_owned()),
        ("Owner", format!("{owner} ({})", key.owner)),
        ("Environment", key.environment.to_string()),
        ("Status", status(key, revoked)),
        ("Scopes", joined(key.scopes, "none")),
        ("Limits", joined(key.limits, "the configuration's")),
        ("Allowed from", joined(key.allowed_ips, "anywhere")),
        ("Monthly budget", budget(key.monthly_budget)),
        ("Created", time(key.created_at)),
        ("Expires", time_or(key.expires_at, "never")),
        ("Last used", time_or(key.last_used_at, "never")),
        ("Rotation due", due(key.rotation, enforced)),
    ];
    if let Some(parent) = key.parent_id {
        rows.push(("Parent", parent.to_string()));
    }
    rows.extend(key.metadata.iter().map(|(name, value)| ("Note", format!("{name}={value}"))));
    let secret = |secret: &SecretView<'_>| {
        vec![
            secret.id.to_string(),
            format!("{}…", secret.hint),
            secret.status.name().to_owned(),
            time(secret.created_at),
            time_or(secret.expires_at, "never"),
            time_or(secret.last_used_at, "never"),
            secret.last_used_from.map_or_else(|| "-".to_owned(), |from| from.to_string()),
        ]
    };
    let headings = ["SECRET", "HINT", "STATUS", "CREATED", "ENDS", "LAST USED", "FROM"];
    let secrets = table(&headings, key.secrets.iter().map(secret).collect());
    format!("{}\n\n{secrets}", fields(rows))
}

fn status(key: &KeyView<'_>, revoked: Option<(Timestamp, Option<&str>)>) -> String {
    match revoked {
        Some((at, Some(reason))) => format!("revoked {}: {reason}", time(at)),
        Some((at, None)) => format!("revoked {}", time(at)),
        None => key.status.name().to_owned(),
    }
}

fn budget(budget: Option<Millionths>) -> String {
    budget.map_or("none".to_owned(), |budget| budget.to_string())
}

fn due(rotation: RotationView, enforced: bool) -> String {
    let due = time_or(rotation.due_at, "-");
    let every = match rotation.interval_days {
        Some(days) => format!("{due}, every {days} days"),
        None => due,
    };
    match (rotation.overdue, enforced && rotation.interval_days.is_some()) {
        (false, _) => every,
        (true, false) => format!("{every} (overdue)"),
        (true, true) => format!("{every} (overdue: its requests are refused until it is rotated)"),
    }
}
