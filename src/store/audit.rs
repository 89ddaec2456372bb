//! The audit log: who changed what, as a chain of which no link can go unnoticed.

use async_trait::async_trait;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use serde_json::Value;
use sqlx::FromRow;

use super::{Page, PageRequest, Result, StoreError};
use crate::domain::{Act, AuditRow, ChainBreak, ChainFault, ChainHead, ChainVerdict};
use crate::key::hex;

/// What stands in the first row's place of the hash before.
pub(super) const FIRST: &str = "";
/// Within so many places it is looked where a row was moved from.
const NEAR: i64 = 1_000;

/// Which rows are listed: all that every given field says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Not before this.
    pub since: Option<Timestamp>,
    /// By this actor, as it is written.
    pub actor: Option<String>,
    /// About this key or owner.
    pub target: Option<String>,
    /// This change, as `key.create` is one.
    pub action: Option<String>,
}

/// The log. Of changes in the store it is written by the changes themselves.
#[async_trait]
pub trait AuditLog {
    /// Writes down an act that has no row of its own: `config.reload` and the like, of that target.
    async fn note(&self, act: &Act, action: &'static str, target: &str, after: Value)
    -> Result<()>;
    /// Rows, newest first.
    async fn audit(&self, filter: &AuditFilter, page: &PageRequest) -> Result<Page<AuditRow>>;
    /// Goes through the whole log, page by page, and says whether it is as it was written. `expected`:
    /// a hash that was noted earlier, whose row must still be in it.
    async fn verify_audit(&self, expected: Option<&str>) -> Result<ChainVerdict>;
}

/// A row as it is kept.
#[derive(Clone, FromRow)]
pub(super) struct StoredRow {
    pub(super) place: i64,
    pub(super) id: String,
    pub(super) at: i64,
    pub(super) actor: String,
    pub(super) address: Option<String>,
    pub(super) action: String,
    pub(super) target: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) previous: String,
    pub(super) hash: String,
}

impl StoredRow {
    pub(super) fn read(self) -> Result<AuditRow> {
        let corrupt = |what: String| StoreError::Corrupt(format!("audit row {}: {what}", self.id));
        let value = |text: Option<String>| -> Result<Option<Value>> {
            text.map(|text| serde_json::from_str(&text))
                .transpose()
                .map_err(|e| corrupt(e.to_string()))
        };
        Ok(AuditRow {
            at: Timestamp::from_millisecond(self.at).map_err(|e| corrupt(e.to_string()))?,
            before: value(self.before)?,
            after: value(self.after)?,
            id: self.id.clone(),
            actor: self.actor,
            action: self.action,
            target: self.target,
            address: self.address,
            reason: self.reason,
        })
    }
}

/// SHA-256, in hex, over the hash before and all fields as a JSON array, so that no two rows that
/// differ are written alike.
pub(super) fn hash(row: &StoredRow) -> String {
    let fields = serde_json::json!([
        row.previous,
        row.place,
        row.id,
        row.at,
        row.actor,
        row.address,
        row.action,
        row.target,
        row.before,
        row.after,
        row.reason,
    ]);
    hex::encode(digest(&SHA256, fields.to_string().as_bytes()).as_ref())
}

/// The log on its way past, row by row in the order of their places.
pub(super) struct Chain<'e> {
    rows: u64,
    last: Option<StoredRow>,
    expected: Option<&'e str>,
    is_found: bool,
}

impl<'e> Chain<'e> {
    pub(super) fn new(expected: Option<&'e str>) -> Self {
        Self { rows: 0, last: None, expected, is_found: expected.is_none() }
    }

    /// The place behind which the next row is; at first any, that one before the first is seen too.
    pub(super) fn place(&self) -> i64 {
        self.last.as_ref().map_or(i64::MIN, |row| row.place)
    }

    /// Looks at the next row.
    pub(super) fn follow(&mut self, row: StoredRow) -> Result<(), ChainBreak> {
        if let Some(how) = self.fault(&row) {
            let broken = match how {
                ChainFault::Missing => ChainBreak { place: self.next(), id: None, how },
                _ => ChainBreak { place: row.place, id: Some(row.id), how },
            };
            return Err(broken);
        }
        self.is_found |= self.expected == Some(row.hash.as_str());
        self.rows += 1;
        self.last = Some(row);
        Ok(())
    }

    /// What it all comes to.
    pub(super) fn verdict(self) -> Result<ChainVerdict> {
        let rows = self.rows;
        if !self.is_found {
            return Ok(ChainVerdict::Lacks { rows });
        }
        let head = self.last.map(|row| -> Result<ChainHead> {
            let StoredRow { id, hash, .. } = row;
            let at = Timestamp::from_millisecond(row.at);
            let at = at.map_err(|e| StoreError::Corrupt(format!("audit row {id}: {e}")))?;
            Ok(ChainHead { id, at, hash })
        });
        Ok(ChainVerdict::Unbroken { rows, head: head.transpose()? })
    }

    fn fault(&self, row: &StoredRow) -> Option<ChainFault> {
        let previous = self.last.as_ref().map_or(FIRST, |last| &last.hash);
        if row.place > self.next() {
            return Some(ChainFault::Missing);
        }
        if hash(row) != row.hash {
            let is_moved = was_elsewhere(row);
            return Some(if is_moved { ChainFault::Moved } else { ChainFault::Changed });
        }
        (row.previous != previous || row.place < self.next()).then_some(ChainFault::Unlinked)
    }

    /// The place of the row that must come now.
    fn next(&self) -> i64 {
        self.last.as_ref().map_or(1, |row| row.place + 1)
    }
}

/// Whether a row is whole but for its place. Rows are moved by a few places, if at all.
fn was_elsewhere(row: &StoredRow) -> bool {
    let mut near = row.place.saturating_sub(NEAR)..=row.place.saturating_add(NEAR);
    near.any(|place| hash(&StoredRow { place, ..row.clone() }) == row.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(place: i64, action: &str, previous: &str) -> StoredRow {
        let mut row = StoredRow {
            place,
            id: format!("aud_{place}"),
            at: place * 1_000,
            actor: "keygate".to_owned(),
            address: None,
            action: action.to_owned(),
            target: "key_1".to_owned(),
            before: None,
            after: Some("{}".to_owned()),
            reason: None,
            previous: previous.to_owned(),
            hash: String::new(),
        };
        row.hash = hash(&row);
        row
    }

    fn rows(count: i64) -> Vec<StoredRow> {
        let mut rows: Vec<StoredRow> = Vec::new();
        for place in 1..=count {
            let previous = rows.last().map_or(FIRST.to_owned(), |last| last.hash.clone());
            rows.push(row(place, "key.create", &previous));
        }
        rows
    }

    fn verdict(rows: Vec<StoredRow>, expected: Option<&str>) -> ChainVerdict {
        let mut chain = Chain::new(expected);
        for row in rows {
            if let Err(broken) = chain.follow(row) {
                return ChainVerdict::Broken(broken);
            }
        }
        chain.verdict().unwrap()
    }

    fn broken(rows: Vec<StoredRow>) -> (i64, Option<String>, ChainFault) {
        match verdict(rows, None) {
            ChainVerdict::Broken(ChainBreak { place, id, how }) => (place, id, how),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_written_is_unbroken() {
        assert_eq!(verdict(Vec::new(), None), ChainVerdict::Unbroken { rows: 0, head: None });
        let all = rows(5);
        let ChainVerdict::Unbroken { rows: 5, head: Some(head) } = verdict(all.clone(), None)
        else {
            panic!("it is unbroken")
        };
        assert_eq!((head.id.as_str(), &head.hash), ("aud_5", &all[4].hash));
    }

    #[test]
    fn every_field_that_is_changed_is_seen_where_it_is() {
        type Change = fn(&mut StoredRow);
        let changes: [Change; 11] = [
            |row| row.id = "aud_9".to_owned(),
            |row| row.at += 1,
            |row| row.actor = "setup".to_owned(),
            |row| row.address = Some("::1".to_owned()),
            |row| row.action = "key.revoke".to_owned(),
            |row| row.target = "key_2".to_owned(),
            |row| row.before = Some("null".to_owned()),
            |row| row.after = None,
            |row| row.reason = Some(String::new()),
            |row| row.previous = FIRST.to_owned(),
            |row| row.hash = "0".repeat(64),
        ];
        for change in changes {
            let mut all = rows(4);
            change(&mut all[2]);
            let (place, id, how) = broken(all.clone());
            assert_eq!((place, id, how), (3, Some(all.remove(2).id), ChainFault::Changed));
        }
    }

    #[test]
    fn a_row_that_is_gone_moved_or_replaced_is_seen() {
        let mut all = rows(4);
        all.remove(1);
        assert_eq!(broken(all), (2, None, ChainFault::Missing));
        let mut all = rows(4);
        all.remove(0);
        assert_eq!(broken(all), (1, None, ChainFault::Missing));
        let mut all = rows(4);
        (all[1].place, all[2].place) = (3, 2);
        all.swap(1, 2);
        assert_eq!(broken(all), (2, Some("aud_3".to_owned()), ChainFault::Moved));
        // One that is gone, and those behind it moved up.
        let mut all = rows(4);
        all.remove(1);
        all[1..].iter_mut().for_each(|row| row.place -= 1);
        assert_eq!(broken(all), (2, Some("aud_3".to_owned()), ChainFault::Moved));
        let mut all = rows(4);
        all.insert(0, row(0, "key.update", FIRST));
        assert_eq!(broken(all), (0, Some("aud_0".to_owned()), ChainFault::Unlinked));
        // Another one with a hash of its own: what stands behind it tells.
        let mut all = rows(4);
        all[1] = row(2, "key.update", &all[0].hash);
        assert_eq!(broken(all), (3, Some("aud_3".to_owned()), ChainFault::Unlinked));
    }

    #[test]
    fn what_is_cut_off_or_written_anew_is_seen_by_a_hash_that_was_noted() {
        let all = rows(5);
        let noted = all[3].hash.clone();
        assert!(matches!(
            verdict(all.clone(), Some(&noted)),
            ChainVerdict::Unbroken { rows: 5, .. }
        ));
        let cut = all[..3].to_vec();
        assert_eq!(verdict(cut, Some(&noted)), ChainVerdict::Lacks { rows: 3 });
        let mut anew = vec![row(1, "key.update", FIRST)];
        for place in 2..=5 {
            let previous = anew.last().unwrap().hash.clone();
            anew.push(row(place, "key.create", &previous));
        }
        assert_eq!(verdict(anew, Some(&noted)), ChainVerdict::Lacks { rows: 5 });
    }
}
