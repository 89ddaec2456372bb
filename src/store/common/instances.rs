//! The statements about running instances. Each runs by itself, outside the writers' turn.

use std::time::Duration;

use sqlx::query_as;

use super::Ask;
use crate::domain::instance::SILENT_AFTER;
use crate::domain::{Instance, InstanceId, SeenInstance};
use crate::store::Result;
use crate::store::rows::InstanceRow;

/// What was not heard of for so long is neither shown nor kept.
const FORGOTTEN_AFTER: Duration = Duration::from_hours(24);

/// The instance's row, made or renewed; gives how many others were heard of lately.
pub(super) fn report(instance: &Instance) -> Ask<'_, (i64,)> {
    query_as(concat!(
        "INSERT INTO instances (id, host, version, started_at, seen_at, revision, config_hash) \
         SELECT $1, $2, $3, $4, ",
        now_ms!(),
        ", $5, $6",
        not_lasting!(),
        " ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, \
         revision = excluded.revision, config_hash = excluded.config_hash \
         RETURNING (SELECT count(*) FROM instances other WHERE other.id <> $1 \
         AND other.seen_at >= ",
        now_ms!(),
        " - $7)"
    ))
    .bind(instance.id.as_str())
    .bind(&instance.host)
    .bind(&instance.version)
    .bind(instance.started_at.as_millisecond())
    .bind(instance.revision)
    .bind(&instance.config_hash)
    .bind(SILENT_AFTER.as_millis() as i64)
}

/// What [`report`] gave.
pub(super) fn count(rows: &[(i64,)]) -> usize {
    rows.first().and_then(|(others,)| usize::try_from(*others).ok()).unwrap_or(0)
}

/// All that were heard of within a day. One that has applied more than there is still goes by what
/// the store was before a backup was put in its place: of this one it has nothing.
pub(super) fn list<'q>() -> Ask<'q, InstanceRow> {
    query_as(concat!(
        "WITH said AS (SELECT i.*, CASE WHEN i.revision <= coalesce((SELECT max(revision) FROM \
         changes), 0) THEN i.revision ELSE 0 END AS applied FROM instances i WHERE i.seen_at >= ",
        now_ms!(),
        " - $1) SELECT s.id, s.host, s.version, s.started_at, s.applied AS revision, \
         s.config_hash, ",
        now_ms!(),
        " - s.seen_at AS seen_ms_ago, ",
        now_ms!(),
        " - (SELECT c.at FROM changes c WHERE c.revision > s.applied \
         ORDER BY c.revision LIMIT 1) AS lag_ms FROM said s ORDER BY s.id"
    ))
    .bind(FORGOTTEN_AFTER.as_millis() as i64)
}

/// What [`list`] gave.
pub(super) fn read(rows: Vec<InstanceRow>) -> Result<Vec<SeenInstance>> {
    rows.into_iter().map(InstanceRow::read).collect()
}

/// Removes the instance's row.
pub(super) fn forget(id: &InstanceId) -> Ask<'_, (i64,)> {
    query_as("DELETE FROM instances WHERE id = $1").bind(id.as_str())
}

/// Removes the rows that [`list`] does not show.
pub(super) fn prune<'q>() -> Ask<'q, (i64,)> {
    query_as(concat!("DELETE FROM instances WHERE seen_at < ", now_ms!(), " - $1"))
        .bind(FORGOTTEN_AFTER.as_millis() as i64)
}
