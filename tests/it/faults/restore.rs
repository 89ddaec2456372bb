//! A backup taken while the gateway serves, and restored: beside it, and under it.

use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{CONFIG, call};
use crate::support::{Origin, TestGateway, TestStore, until};

/// Runs a program that must do its work.
fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    let output = output.expect("the program is installed");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {args:?}: {complaint}");
}

#[test]
fn a_postgres_backup_brings_back_what_it_held_and_running_instances_believe_it() {
    let origin = Origin::start();
    let (Some(store), Some(beside)) = (TestStore::postgres(), TestStore::postgres()) else {
        return;
    };
    let gateway = TestGateway::with(store).config(CONFIG).upstream("api", &origin).start();
    let (kept, ended) = (gateway.key("--name kept"), gateway.key("--name ended"));
    gateway.run(&format!("key disable {}", ended.id()));
    let dir = TempDir::new().expect("a directory can be made");
    let backup = dir.path().join("backup");
    let (backup, url) = (backup.to_str().expect("a path"), gateway.store().url());
    run("pg_dump", &["--format=custom", "--file", backup, &url]);
    let later = gateway.key("--name later");
    for (key, status) in [(&kept, 200), (&later, 200), (&ended, 401)] {
        until("the key is known", || call(&gateway, key).status == status);
    }

    // Into an empty database, for an instance of its own.
    let empty = beside.url();
    run("pg_restore", &["--no-owner", "--exit-on-error", "--dbname", &empty, backup]);
    let second = gateway.another_with(&[("DATABASE_URL", &empty)]);
    for (key, status) in [(&kept, 200), (&later, 401), (&ended, 401)] {
        assert_eq!(call(&second, key).status, status);
    }

    // Over the one that is in use: what came after the backup is gone, at once and everywhere.
    let over = ["--clean", "--if-exists", "--no-owner", "--single-transaction", "--dbname"];
    run("pg_restore", &[&over[..], &[&url, backup]].concat());
    until("what came later is gone", || call(&gateway, &later).status == 401);
    assert_eq!(call(&gateway, &kept).status, 200);
    assert_eq!(call(&gateway, &ended).status, 401);
    let fresh = gateway.key("--name fresh");
    until("the restored store tells of changes", || call(&gateway, &fresh).status == 200);
}

#[test]
fn a_sqlite_backup_is_a_file_that_can_be_served_from() {
    let origin = Origin::start();
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG);
    let gateway = setup.upstream("api", &origin).start();
    let key = gateway.key("--name kept");
    let dir = TempDir::new().expect("a directory can be made");
    let backup = dir.path().join("backup.db").display().to_string();
    gateway.store().sql(&format!("VACUUM INTO '{backup}'"));
    let later = gateway.key("--name later");
    let second = gateway.another_with(&[("DATABASE_URL", &format!("sqlite://{backup}"))]);
    assert_eq!(call(&second, &key).status, 200);
    assert_eq!(call(&second, &later).status, 401);
    assert_eq!(call(&gateway, &later).status, 200);
}
