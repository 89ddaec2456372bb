//! `key show`.

use jiff::Timestamp;

use super::owner_names;
use crate::auth::view::{KeyView, RotationView, SecretView};
use crate::cli::failure::Result;
use crate::cli::output::{Output, fields, joined, table, time, time_or};
use crate::cli::session::Session;
use crate::domain::{Key, KeyId, KeyWithSecrets, Millionths};
use crate::store::{KeyFilter, PageRequest};

/// Shows one key.
pub(crate) async fn run(session: &Session, key: &KeyWithSecrets, output: Output) -> Result {
    let view = session.view(key).await?;
    let names = owner_names(session, std::slice::from_ref(key)).await?;
    let owner = names.get(view.owner).map_or("?", String::as_str);
    let revoked = key.key.revoked_at.map(|at| (at, key.key.revoke_reason.as_deref()));
    let below = if output.json { Vec::new() } else { descendants(session, key).await? };
    output.show(&view, || {
        let tree = tree(&below, &key.key.id, session.now());
        format!("{}{tree}", shown(&view, owner, revoked))
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

fn shown(key: &KeyView<'_>, owner: &str, revoked: Option<(Timestamp, Option<&str>)>) -> String {
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
        ("Rotation due", due(key.rotation)),
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
        ]
    };
    let headings = ["SECRET", "HINT", "STATUS", "CREATED", "ENDS", "LAST USED"];
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

fn due(rotation: RotationView) -> String {
    let due = time_or(rotation.due_at, "-");
    if rotation.overdue { format!("{due} (overdue)") } else { due }
}
