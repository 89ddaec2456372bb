//! The overview: what needs attention, and what passed.

use super::{CONFIG, admin, gateway};
use crate::support::{Origin, TestGateway, TestStore, until};

#[test]
fn what_needs_attention_leads_to_where_it_is_dealt_with() {
    let api = Origin::start();
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(CONFIG)
        .upstream("api", &api)
        .config("[upstreams.gone]\ntargets = [\"http://127.0.0.1:9\"]\nhealth = { path = \"/\", interval = \"10ms\" }")
        .start();
    let quiet = gateway.key("--name quiet --scope agents:read");
    let page = |admin: &crate::support::admin::Browserless<'_>| admin.page("/");
    let admin = admin(&gateway);
    until("the upstream is found down", || page(&admin).contains("The upstream gone is down"));
    assert!(!page(&admin).contains(quiet.id()), "what is well is not named");
    let ending = gateway.key("--name ending --expires 3d");
    let spender = gateway.key("--name spender --scope agents:read --budget 0.60");
    let stale = gateway.key("--name stale");
    let old = "UPDATE keys SET created_at = created_at - 3456000000 WHERE name = 'stale'; \
               UPDATE secrets SET created_at = created_at - 8640000000 \
               WHERE key_id = (SELECT id FROM keys WHERE name = 'stale')";
    for statement in old.split(';') {
        gateway.store().sql(statement);
    }
    assert_eq!(gateway.curl("/agents").bearer(&spender).send().status, 200);
    until("its spending is booked", || page(&admin).contains("Budgets near their end"));
    let page = page(&admin);
    for (title, address, key) in [
        ("Expiring soon", "/keys?expiring=yes", &ending),
        ("Unused keys", "/keys?unused=yes", &stale),
        ("Rotation overdue", "/keys?overdue=yes", &stale),
        ("Budgets near their end", "/keys", &spender),
    ] {
        assert!(page.contains(title), "{title} in {page}");
        assert!(page.contains(&format!("href=\"{address}\"")), "{address} in {page}");
        assert!(page.contains(&format!("href=\"/keys/{}\"", key.id())), "{title}: {page}");
    }
    assert!(page.contains("83 %"), "{page}");
    assert!(page.contains("href=\"/routes#upstreams\""));
}

#[test]
fn what_passed_and_what_was_refused_is_told_in_numbers() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let key = gateway.key("--name main --scope agents:read");
    let admin = admin(&gateway);
    assert!(admin.page("/").contains("No requests in the last hour"));
    assert_eq!(gateway.curl("/agents").bearer(&key).send().status, 200);
    assert_eq!(gateway.curl("/invoices").bearer(&key).send().status, 403);
    until("the next sample is taken", || admin.page("/").contains("missing_scope"));
    let page = admin.page("/");
    assert!(page.contains("Refusals by reason") && page.contains("/refusals?reason=missing_scope"));
    assert!(page.contains("data-chart="), "the numbers are handed to the script as data");
    assert!(page.contains("<details id=\"numbers-table\">"), "and stand in a table");
    until("it is booked", || admin.page("/").contains("<div class=\"value\">0.50</div>"));
}

#[test]
fn what_the_store_does_not_answer_is_said_and_all_else_is_shown() {
    let api = Origin::start();
    let gateway = gateway(&api);
    gateway.key("--name ending --expires 3d");
    let admin = admin(&gateway);
    assert!(!admin.page("/").contains("it is not known how these stand"));
    gateway.store().sql("ALTER TABLE spending RENAME TO spending_gone");
    let page = admin.page("/");
    assert!(page.contains("it is not known how these stand: budgets"), "{page}");
    assert!(page.contains("Expiring soon"), "{page}");
    assert!(page.contains("not known</span>"), "the spending of the month: {page}");
    gateway.store().sql("ALTER TABLE spending_gone RENAME TO spending");
}
