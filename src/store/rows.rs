//! From rows to records and back; the same columns in both stores.

mod instance;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use jiff::Timestamp;
use serde::Serialize;
use sqlx::FromRow;

use super::{ConfirmedMac, Loaded, Result, StoreError};
use crate::domain::{Key, KeyId, KeyWithSecrets, Millionths, Owner, OwnerId, PublicId, Secret};

/// What is selected of an owner.
macro_rules! owner_columns {
    () => {
        "o.id AS owner_id, o.name AS owner_name, o.disabled AS owner_disabled, \
         o.credit_changes AS owner_credit_changes, o.created_at AS owner_created_at "
    };
}

/// Selects keys with their owner, a row for each secret; `$from` names `k`, `$rest` what follows
/// the joins.
macro_rules! select_keys {
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $crate::store::rows::owner_columns!(),
            ", k.id, k.name, k.parent_id, k.environment, k.scopes, k.limits, k.allowed_ips, \
             k.monthly_budget, k.expires_at, k.disabled, k.revoked_at, k.revoke_reason, \
             k.metadata, k.rotation_interval_days, k.created_at, s.id AS secret_id, \
             s.hint AS secret_hint, s.phc AS secret_phc, \
             s.cache_mac AS secret_cache_mac, s.created_at AS secret_created_at, \
             s.expires_at AS secret_expires_at, s.revoked_at AS secret_revoked_at, \
             s.last_used_at AS secret_last_used_at FROM ",
            $from,
            " JOIN owners o ON o.id = k.owner_id LEFT JOIN secrets s ON s.key_id = k.id ",
            $rest,
            " ORDER BY k.id DESC, s.created_at, s.id"
        )
    };
}

pub(super) use {instance::InstanceRow, owner_columns, select_keys};

/// An owner's columns.
#[derive(FromRow)]
pub(super) struct OwnerRow {
    #[sqlx(rename = "owner_id")]
    id: String,
    #[sqlx(rename = "owner_name")]
    name: String,
    #[sqlx(rename = "owner_disabled")]
    disabled: bool,
    #[sqlx(rename = "owner_credit_changes")]
    credit_changes: i64,
    #[sqlx(rename = "owner_created_at")]
    created_at: i64,
}

/// A key, its owner and one of its secrets.
#[derive(FromRow)]
pub(super) struct KeyRow {
    #[sqlx(flatten)]
    owner: OwnerRow,
    #[sqlx(flatten)]
    secret: SecretRow,
    id: String,
    name: String,
    parent_id: Option<String>,
    environment: String,
    scopes: String,
    limits: String,
    allowed_ips: String,
    monthly_budget: Option<i64>,
    expires_at: Option<i64>,
    disabled: bool,
    revoked_at: Option<i64>,
    revoke_reason: Option<String>,
    metadata: String,
    rotation_interval_days: Option<i64>,
    created_at: i64,
}

/// All `None` for a key without secrets.
#[derive(FromRow)]
struct SecretRow {
    #[sqlx(rename = "secret_id")]
    id: Option<String>,
    #[sqlx(rename = "secret_hint")]
    hint: Option<String>,
    #[sqlx(rename = "secret_phc")]
    phc: Option<String>,
    #[sqlx(rename = "secret_cache_mac")]
    cache_mac: Option<String>,
    #[sqlx(rename = "secret_created_at")]
    created_at: Option<i64>,
    #[sqlx(rename = "secret_expires_at")]
    expires_at: Option<i64>,
    #[sqlx(rename = "secret_revoked_at")]
    revoked_at: Option<i64>,
    #[sqlx(rename = "secret_last_used_at")]
    last_used_at: Option<i64>,
}

impl OwnerRow {
    pub(super) fn read(self) -> Result<Owner> {
        let row = Row { table: "owners", id: &self.id };
        Ok(Owner {
            created_at: row.time("created_at", self.created_at)?,
            disabled: self.disabled,
            credit_changes: self.credit_changes,
            id: OwnerId::from_text(self.id),
            name: self.name,
        })
    }
}

impl KeyRow {
    fn read(self) -> Result<Loaded> {
        let row = Row { table: "keys", id: &self.id };
        let key = Key {
            environment: self
                .environment
                .parse()
                .map_err(|()| row.corrupt("environment", "neither live nor test"))?,
            scopes: row.json("scopes", &self.scopes)?,
            limits: row.list("limits", &self.limits)?,
            allowed_ips: row.list("allowed_ips", &self.allowed_ips)?,
            monthly_budget: self
                .monthly_budget
                .map(|budget| {
                    Millionths::new(budget).ok_or_else(|| row.corrupt("monthly_budget", "negative"))
                })
                .transpose()?,
            expires_at: row.time_if("expires_at", self.expires_at)?,
            revoked_at: row.time_if("revoked_at", self.revoked_at)?,
            metadata: row.json("metadata", &self.metadata)?,
            rotation_interval_days: self
                .rotation_interval_days
                .map(|days| {
                    u32::try_from(days)
                        .map_err(|error| row.corrupt("rotation_interval_days", error))
                })
                .transpose()?,
            created_at: row.time("created_at", self.created_at)?,
            id: KeyId::from_text(self.id.as_str()),
            name: self.name,
            owner_id: OwnerId::from_text(self.owner.id.as_str()),
            parent_id: self.parent_id.map(KeyId::from_text),
            disabled: self.disabled,
            revoke_reason: self.revoke_reason,
        };
        let secrets = self.secret.read()?.into_iter().collect();
        Ok(Loaded { key: KeyWithSecrets { key, secrets }, owner: self.owner.read()? })
    }
}

impl SecretRow {
    fn read(self) -> Result<Option<Secret>> {
        let (Some(id), Some(hint), Some(phc), Some(created_at)) =
            (self.id, self.hint, self.phc, self.created_at)
        else {
            return Ok(None);
        };
        let row = Row { table: "secrets", id: &id };
        Ok(Some(Secret {
            id: id.parse().map_err(|error| row.corrupt("id", error))?,
            hint,
            phc,
            cache_mac: self.cache_mac,
            created_at: row.time("created_at", created_at)?,
            expires_at: row.time_if("expires_at", self.expires_at)?,
            revoked_at: row.time_if("revoked_at", self.revoked_at)?,
            last_used_at: row.time_if("last_used_at", self.last_used_at)?,
        }))
    }
}

/// Gathers what [`select_keys`] gave: one record a key, in the order of the rows.
pub(super) fn loaded(rows: Vec<KeyRow>) -> Result<Vec<Loaded>> {
    let mut all: Vec<Loaded> = Vec::new();
    for row in rows {
        match all.last_mut().filter(|last| last.key.key.id.as_str() == row.id) {
            Some(last) => last.key.secrets.extend(row.secret.read()?),
            None => all.push(row.read()?),
        }
    }
    Ok(all)
}

/// Names the row that something is wrong with.
struct Row<'a> {
    table: &'static str,
    id: &'a str,
}

impl Row<'_> {
    fn corrupt(&self, column: &str, problem: impl Display) -> StoreError {
        StoreError::Corrupt(format!("{column} of {} {}: {problem}", self.table, self.id))
    }

    fn time(&self, column: &str, milliseconds: i64) -> Result<Timestamp> {
        Timestamp::from_millisecond(milliseconds).map_err(|error| self.corrupt(column, error))
    }

    fn time_if(&self, column: &str, milliseconds: Option<i64>) -> Result<Option<Timestamp>> {
        milliseconds.map(|milliseconds| self.time(column, milliseconds)).transpose()
    }

    fn json<T: serde::de::DeserializeOwned>(&self, column: &str, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|error| self.corrupt(column, error))
    }

    fn list<T: FromStr<Err: Display>>(&self, column: &str, text: &str) -> Result<Vec<T>> {
        let texts: Vec<String> = self.json(column, text)?;
        texts.iter().map(|text| text.parse().map_err(|error| self.corrupt(column, error))).collect()
    }
}

/// A value as the stores keep it: JSON.
pub(super) fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("lists and maps of texts are JSON")
}

/// A moment as the stores keep it.
pub(super) fn ms(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_millisecond)
}

/// A secret that is live, as far as a rotation must know it.
#[derive(FromRow)]
pub(super) struct LiveRow {
    id: String,
    created_at: i64,
    expires_at: Option<i64>,
}

/// Which of the live secrets are not the newest: what `replace` ends at once.
///
/// The one that has no end yet is the newest whatever the clock said when it was made.
pub(super) fn older(mut live: Vec<LiveRow>) -> Vec<String> {
    live.sort_by_key(|secret| (secret.expires_at.is_none(), secret.created_at));
    live.pop();
    live.into_iter().map(|secret| secret.id).collect()
}

/// The public ids in a text that lists them with commas between; one that is none was written by
/// hand and is told, not obeyed.
pub(super) fn public_ids(list: &str) -> Vec<PublicId> {
    let read = |text: &str| {
        let id = text.parse().ok();
        if id.is_none() {
            tracing::warn!(id = text, "a row of secrets has an id that no secret can have");
        }
        id
    };
    list.split_terminator(',').filter_map(read).collect()
}

/// In the order of the ids, so that two writers meet in one order.
pub(super) fn in_order(macs: &[ConfirmedMac]) -> Vec<&ConfirmedMac> {
    let mut macs: Vec<&ConfirmedMac> = macs.iter().collect();
    macs.sort_by_key(|confirmed| confirmed.secret);
    macs
}

/// Each secret's latest use, in the order of the ids, so that two writers meet in one order.
pub(super) fn latest(uses: &[(PublicId, Timestamp)]) -> BTreeMap<PublicId, i64> {
    let mut latest = BTreeMap::new();
    for (id, at) in uses {
        let at = at.as_millisecond();
        latest.entry(*id).and_modify(|known: &mut i64| *known = at.max(*known)).or_insert(at);
    }
    latest
}
