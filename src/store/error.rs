//! What a database's errors mean to who asked.

use sqlx::error::{DatabaseError, ErrorKind};

use super::StoreError;
use super::migrate::NEEDED;

/// Postgres's codes for a table, column or function that is not there.
const POSTGRES_SCHEMA: [&str; 3] = ["42P01", "42703", "42883"];

/// Takes an error of sqlx for what it is. `place` names the store for people, without a password.
pub(super) fn from_sqlx(error: &sqlx::Error, place: &str) -> StoreError {
    match error {
        sqlx::Error::Database(database) => from_database(database.as_ref(), place),
        sqlx::Error::PoolTimedOut => {
            StoreError::Silent(format!("{place} gave no connection in time"))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            StoreError::Corrupt(error.to_string())
        }
        other => StoreError::Unavailable(format!("{place}: {other}")),
    }
}

fn from_database(error: &dyn DatabaseError, place: &str) -> StoreError {
    let message = error.message();
    match error.kind() {
        ErrorKind::ForeignKeyViolation => {
            StoreError::Conflict("the owner or key that is named there does not exist".to_owned())
        }
        ErrorKind::UniqueViolation | ErrorKind::CheckViolation | ErrorKind::NotNullViolation => {
            StoreError::Conflict(message.to_owned())
        }
        _ if lacks_schema(error) => StoreError::Schema { found: 0, needed: NEEDED },
        _ => StoreError::Unavailable(format!("{place}: {message}")),
    }
}

/// SQLite has no code of its own for it.
fn lacks_schema(error: &dyn DatabaseError) -> bool {
    let message = error.message();
    error.code().is_some_and(|code| POSTGRES_SCHEMA.contains(&code.as_ref()))
        || message.starts_with("no such table")
        || message.starts_with("no such column")
}
