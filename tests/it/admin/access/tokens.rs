//! Who may come in.

use rstest::rstest;

use crate::support::{Kind, TestGateway, TestStore};

#[rstest]
fn nobody_comes_in_without_a_token(#[values(Kind::Sqlite, Kind::Postgres)] kind: Kind) {
    let Some(store) = TestStore::of(kind) else { return };
    let gateway = TestGateway::with(store).start();
    let path = "/admin/v1/instances";
    gateway.admin(path).is_error(401, "unauthorized");
    let token = gateway.admin_token("--name ops");
    let listed = gateway.seen(&token, path);
    assert_eq!(listed["data"].as_array().map(Vec::len), Some(1), "{listed}");
    let wrong = gateway.admin_token("--name wrong --role viewer");
    let id = gateway.run("admin-token list")["data"][0]["id"].as_str().unwrap().to_owned();
    assert_eq!(gateway.as_admin(&wrong, path).send().status, 200);
    gateway.run(&format!("admin-token revoke {id}"));
    assert_eq!(gateway.as_admin(&wrong, path).send().status, 401);
    assert_eq!(gateway.as_admin(&token, path).send().status, 200);
}
