//! Two processes on the same ports, and who may not have them.

use rstest::rstest;

use super::{CONFIG, install, listening, upgrade};
use crate::support::database::Kind::{self, Postgres, Sqlite};
use crate::support::{Origin, TestGateway, TestStore};

#[rstest]
fn on_the_same_ports_no_request_fails(#[values(Sqlite, Postgres)] kind: Kind) {
    let origin = Origin::start();
    let Some(store) = TestStore::of(kind) else { return };
    let gateway = TestGateway::with(store).config(CONFIG).upstream("api", &origin).start();
    upgrade(gateway, TestGateway::successor);
}

#[test]
fn an_address_that_somebody_else_has_is_refused() {
    let origin = Origin::start();
    let (_somebody, address) = listening();
    for listen in
        [format!("server.listen = [\"{address}\"]"), format!("admin.listen = \"{address}\"")]
    {
        let (installation, _store) = install(&origin, &listen);
        let done = installation.try_run(&["serve"]);
        assert_eq!(done.code, 1);
        assert!(done.err.contains(&format!("cannot listen on {address}")), "{}", done.err);
    }
}
