//! What is done with no room for the journal, and what is not on the books.

use super::{CONFIG, booked, until_all_is_booked};
use crate::support::{Origin, TestGateway, TestStore};

#[test]
fn requests_of_keys_are_on_the_books_and_nothing_else_is() {
    let origin = Origin::start();
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG);
    let gateway = setup.upstream("api", &origin).start();
    let key = gateway.key("--name a");
    let named = |name: &str| format!("X-Request-Id: {name}");
    assert_eq!(gateway.curl("/open").header(&named("public")).send().status, 200);
    assert_eq!(gateway.curl("/a").header(&named("none")).send().status, 401);
    assert_eq!(gateway.curl("/a").bearer(&key).header(&named("one")).send().status, 200);
    assert_eq!(gateway.curl("/b").bearer(&key).header(&named("two")).send().status, 200);
    until_all_is_booked(&gateway);
    let booked: Vec<_> = booked(gateway.store()).into_iter().collect();
    assert_eq!(booked, [("one".to_owned(), 1), ("two".to_owned(), 1)]);
}

#[test]
fn a_request_that_no_upstream_answers_is_not_on_the_books() {
    let origin = Origin::scripted(|_| Err(std::io::ErrorKind::ConnectionReset.into()));
    let setup = TestGateway::with(TestStore::sqlite()).config(CONFIG);
    let gateway = setup.upstream("api", &origin).start();
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 502);
    until_all_is_booked(&gateway);
    assert!(booked(gateway.store()).is_empty());
    assert_eq!(gateway.metrics().total("keygate_usage_written_total"), 0);
}

#[test]
fn a_folder_that_cannot_be_made_is_an_error_of_the_start_that_says_what_to_do() {
    let (installation, _store) = TestGateway::with(TestStore::sqlite())
        .config(CONFIG)
        .config("[upstreams.api]\ntargets = [\"http://127.0.0.1:9\"]")
        .install();
    installation.rewrite("[usage]\njournal = \"/proc/nothing\"");
    let printed = installation.try_run(&["serve"]);
    assert_eq!(printed.code, 1, "{}", printed.err);
    assert!(
        printed.err.contains("the usage journal cannot be kept in /proc/nothing"),
        "{}",
        printed.err
    );
    assert!(printed.err.contains("`usage.journal`"), "{}", printed.err);
}
