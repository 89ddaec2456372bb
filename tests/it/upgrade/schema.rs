//! The schema of a newer version: the one before it goes on, while others are replaced.

use rstest::rstest;

use super::CONFIG;
use crate::support::database::Kind::{self, Postgres, Sqlite};
use crate::support::{Origin, TestGateway, TestStore, until};

/// What a version to come may add.
const NEWER: [&str; 5] = [
    "ALTER TABLE owners ADD COLUMN colour TEXT",
    "ALTER TABLE keys ADD COLUMN colour TEXT",
    "ALTER TABLE secrets ADD COLUMN colour TEXT",
    "CREATE TABLE colours (name TEXT PRIMARY KEY)",
    "INSERT INTO keygate_migrations (version, name) VALUES (999, '0999_colours')",
];

#[rstest]
fn every_command_works_on_a_newer_schema_and_so_does_the_gateway(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let origin = Origin::start();
    let Some(store) = TestStore::of(kind) else { return };
    let setup = TestGateway::with(store).config(CONFIG).upstream("api", &origin);
    let (installation, store) = setup.install();
    installation.run(&["migrate"]);
    for statement in NEWER {
        store.sql(statement);
    }
    let gateway = installation.serve(store);
    let key = gateway.key("--name a --scope agents:read");
    let id = key.id();
    let status = || gateway.curl("/a").bearer(&key).send().status;
    until("the key works", || status() == 200);
    let new = gateway.mint(&format!("key rotate {id} --grace 1h"));
    let agent = gateway.mint("agent create --name b");
    for command in [
        "migrate",
        "migrate --status",
        "owner create acme",
        "owner list",
        "owner show acme",
        "owner disable acme",
        "owner enable acme",
        "key list",
        &format!("key show {id}"),
        &format!("key update {id} --name c"),
        &format!("key disable {id}"),
        &format!("key enable {id}"),
        &format!("explain GET /a --key-id {id}"),
        "agent list",
        &format!("agent revoke --id {}", agent.id()),
        "instances",
        "config check",
    ] {
        gateway.run(command);
    }
    until("the new secret works", || gateway.curl("/a").bearer(&new).send().status == 200);
    gateway.run(&format!("key revoke {id}"));
    until("the key is revoked", || status() == 401);
    let said = gateway.installation().run(&["migrate", "--status"]);
    assert!(said.contains("version 999, which a newer keygate made"), "{said}");
}
