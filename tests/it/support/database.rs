//! A store of one test: a SQLite file, or a database on a real Postgres.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use sqlx::{AssertSqlSafe, Connection as _, PgConnection, SqliteConnection};
use tempfile::TempDir;

use super::block_on;
use super::postgres::Postgres;

/// Which of the two stores a test runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Sqlite,
    Postgres,
}

/// A store that no other test uses.
pub(crate) enum TestStore {
    Sqlite { dir: TempDir },
    Postgres { url: String, own: Option<Postgres> },
}

impl TestStore {
    /// An empty store of that kind; `None` where no Postgres is installed.
    pub(crate) fn of(kind: Kind) -> Option<Self> {
        match kind {
            Kind::Sqlite => Some(Self::sqlite()),
            Kind::Postgres => Self::postgres(),
        }
    }

    /// An empty SQLite file, not made yet.
    pub(crate) fn sqlite() -> Self {
        Self::Sqlite { dir: TempDir::new().expect("a directory can be made") }
    }

    /// An empty database on the run's server.
    pub(crate) fn postgres() -> Option<Self> {
        Some(Self::Postgres { url: Postgres::shared()?.database(), own: None })
    }

    /// An empty database on a server that no other test uses, and that can be stopped.
    pub(crate) fn own_postgres() -> Option<Self> {
        let server = Postgres::own()?;
        Some(Self::Postgres { url: server.database(), own: Some(server) })
    }

    /// As `store.url` has it.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite { dir } => format!("sqlite://{}", file(dir).display()),
            Self::Postgres { url, .. } => url.clone(),
        }
    }

    /// Whether `keygate migrate` must come before `keygate serve`.
    pub(crate) fn needs_migration(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// The test's own server, to be stopped and started.
    pub(crate) fn server(&self) -> &Postgres {
        match self {
            Self::Postgres { own: Some(server), .. } => server,
            _ => panic!("only a Postgres of the test's own can be stopped"),
        }
    }

    /// Runs a statement as an operator would, by hand.
    pub(crate) fn sql(&self, statement: &str) {
        self.try_sql(statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
    }

    /// The same; what the store says where it refuses.
    pub(crate) fn try_sql(&self, statement: &str) -> Result<(), String> {
        // Every statement is written out in a test.
        let query = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()));
        let outcome = block_on(async {
            match self {
                Self::Sqlite { .. } => {
                    let mut connection = SqliteConnection::connect(&self.url()).await?;
                    query.execute(&mut connection).await.map(drop)
                }
                Self::Postgres { url, .. } => {
                    let mut connection = PgConnection::connect(url).await?;
                    query.execute(&mut connection).await.map(drop)
                }
            }
        });
        outcome.map_err(|error: sqlx::Error| error.to_string())
    }

    /// Everything that is in it: the files' bytes, or what `pg_dump` writes.
    pub(crate) fn dump(&self) -> Vec<u8> {
        match self {
            Self::Sqlite { dir } => {
                let files = fs::read_dir(dir.path()).expect("the directory is there");
                let read = |file: fs::DirEntry| fs::read(file.path()).expect("it can be read");
                files.flat_map(|file| read(file.expect("it can be listed"))).collect()
            }
            Self::Postgres { url, .. } => {
                let output = Command::new("pg_dump").arg("--dbname").arg(url).output();
                let output = output.expect("pg_dump can be run");
                let complaint = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "pg_dump: {complaint}");
                output.stdout
            }
        }
    }
}

fn file(dir: &TempDir) -> PathBuf {
    dir.path().join("keygate.db")
}
