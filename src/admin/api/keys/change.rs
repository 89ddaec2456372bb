//! Changing a key in place.
#![expect(clippy::option_option, reason = "left out, null and a value are three things")]

use std::collections::BTreeMap;

use serde::Deserialize;

use super::create::texts;
use super::{
    AdminState, Answer, Body, Error, Id, IfMatch, Key, Response, State, ToSchema, end,
    find_unchanged, given, one, tagged,
};
use crate::admin::access::Administrator;
use crate::admin::api::money::Amount;
use crate::auth::mint::{Grants, KeyChange};

/// What is changed of a key; what is left out stays as it is. What it has spent and counted cannot be
/// changed.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin::api) struct KeyPatchBody {
    /// What people call it.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Another owner, by id or name.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    owner: Option<String>,
    /// All scopes anew.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    scopes: Option<Vec<String>>,
    /// Bundles of scopes, which are set together with `scopes`.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false)]
    permissions: Option<Vec<String>>,
    /// All limits anew; none: the configuration's.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = json!(["60/min"]))]
    limits: Option<Vec<String>>,
    /// All addresses anew; none: from anywhere.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = json!(["203.0.113.0/24"]))]
    allowed_ips: Option<Vec<String>>,
    /// Null: without bound.
    #[serde(default, deserialize_with = "given")]
    monthly_budget: Option<Option<Amount>>,
    /// Null: never.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Option<jiff::Timestamp>>,
    /// The same in other words: `90d` from now, `never`, or a day like `2030-01-31`.
    #[serde(default, deserialize_with = "given")]
    #[schema(nullable = false, example = "90d")]
    expires: Option<String>,
    /// Notes to set, or with null to remove, by their names; the others stay.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, Option<String>>, required = false)]
    metadata: BTreeMap<String, Option<String>>,
    /// Every how many days a new secret is due; null: no schedule.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 1, maximum = 3650)]
    rotation_interval_days: Option<Option<u32>>,
}

/// Changes what is given of a key, without a new secret. It is in force on every running instance
/// within 100 ms.
#[utoipa::path(
    patch,
    operation_id = "changeKey",
    path = "/admin/v1/keys/{id}",
    params(("id" = String, Path, description = "The key's id."), IfMatch),
    request_body = KeyPatchBody,
    responses(
        (status = 200, body = Key, headers(("ETag" = String, description = "Names the state that it has now."))),
        (status = 409, body = Error, description = "The key is revoked, or it has a place in a tree of keys that does not go with the new owner."),
    )
)]
pub(in crate::admin::api) async fn change(
    Administrator(caller): Administrator,
    State(state): State<AdminState>,
    Id(id): Id,
    unless: IfMatch,
    Body(body): Body<KeyPatchBody>,
) -> Answer<Response> {
    let loaded = state.loaded();
    let mut key = find_unchanged(&state, &id, &unless, &loaded).await?;
    let (asker, schedule) = (caller.asker(), body.rotation_interval_days);
    let mint = state.mint(&loaded, &asker);
    let change = read_change(body, state.now())?;
    if let Some(days) = schedule {
        mint.check_schedule(days)?;
    }
    if change != KeyChange::default() {
        key = mint.update(&key.key.id, change).await?;
    }
    if let Some(days) = schedule {
        key = mint.schedule(&key.key.id, days).await?;
    }
    tagged(&one(&state, &key, &loaded).await?)
}

fn read_change(body: KeyPatchBody, now: jiff::Timestamp) -> Answer<KeyChange> {
    let grants = match (body.scopes, body.permissions) {
        (None, None) => None,
        (scopes, permissions) => Some(Grants {
            scopes: scopes.unwrap_or_default(),
            permissions: permissions.unwrap_or_default(),
        }),
    };
    Ok(KeyChange {
        name: body.name,
        owner: body.owner,
        grants,
        limits: texts("limits", body.limits)?,
        allowed_ips: texts("allowed_ips", body.allowed_ips)?,
        monthly_budget: body.monthly_budget.map(|budget| budget.map(|amount| amount.0)),
        expires_at: end(body.expires_at, body.expires, now)?,
        metadata: body.metadata,
    })
}
