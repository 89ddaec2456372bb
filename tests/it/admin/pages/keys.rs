//! The list of keys, and the page of one.

use keygate::domain::{Key, OwnerId};

use super::{admin, gateway, shown_secret};
use crate::support::admin::Browserless;
use crate::support::{Origin, bulk};

/// The names of the keys that a list shows, in its order.
fn names(page: &str) -> Vec<&str> {
    let rows = page.split("class=\"name\"").skip(1);
    rows.filter_map(|row| row.split_once('>')?.1.split('<').next()).collect()
}

#[test]
fn the_list_is_narrowed_by_what_is_asked_for() {
    let api = Origin::start();
    let gateway = gateway(&api);
    gateway.run("owner create acme");
    gateway.key("--name plain --scope agents:read");
    gateway.key("--name soon --owner acme --expires 3d");
    gateway.key("--name trial --test --meta team=growth");
    let gone = gateway.key("--name gone");
    gateway.run(&format!("key revoke {}", gone.id()));
    let admin = admin(&gateway);
    let shown = |query: &str| admin.page(&format!("/keys?{query}"));
    assert_eq!(names(&shown("")), ["gone", "trial", "soon", "plain"]);
    for (query, expected) in [
        ("q=pLaI", &["plain"][..]),
        ("q=growth", &["trial"]),
        ("owner=acme", &["soon"]),
        ("environment=test", &["trial"]),
        ("status=revoked", &["gone"]),
        ("status=active&q=soon", &["soon"]),
        ("status=revoked&q=soon", &[]),
        ("scope=agents%3Aread", &["plain"]),
        ("expiring=yes", &["soon"]),
        ("unused=yes", &[]),
        ("overdue=yes", &[]),
        ("q=&owner=&status=&environment=", &["gone", "trial", "soon", "plain"]),
    ] {
        assert_eq!(names(&shown(query)), expected, "{query}");
    }
    assert!(shown("q=nothing").contains("Nothing found"));
    assert!(shown("owner=nobody").contains("There is no owner"));
}

#[test]
fn a_long_list_comes_in_pages_that_keep_what_was_asked() {
    let api = Origin::start();
    let gateway = gateway(&api);
    bulk::insert(gateway.store(), 60, |place, key: &mut Key| {
        key.name = format!("row {place}");
        key.owner_id = OwnerId::from_text("default");
    });
    let admin = admin(&gateway);
    let first = admin.page("/keys?q=row&status=active");
    assert_eq!(names(&first).len(), 50);
    let (_, next) = first.split_once("rel=\"next\" href=\"").expect("there is a next page");
    let next = next.split('"').next().unwrap().replace("&#38;", "&");
    assert!(next.contains("q=row") && next.contains("status=active"), "{next}");
    let second = admin.page(&next);
    assert_eq!(names(&second).len(), 10);
    assert!(!second.contains("rel=\"next\""), "that was all");
    assert!(names(&second).iter().all(|name| !names(&first).contains(name)));
}

#[test]
fn an_empty_list_says_what_to_do_next() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let page = admin(&gateway).page("/keys");
    assert!(page.contains("No keys yet") && page.contains("href=\"/keys/new\""), "{page}");
    let viewer = gateway.admin_token("--name looker --role viewer");
    let page = Browserless::signed_in(&gateway, &viewer).page("/keys");
    assert!(page.contains("No keys yet") && !page.contains("/keys/new"), "{page}");
}

#[test]
fn the_page_of_a_key_says_what_it_may_and_how_it_was_used() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let key = gateway.key("--name main --scope agents:write --scope billing:read --budget 1.00");
    let child = gateway.key(&format!("--name below --parent {}", key.id()));
    assert_eq!(gateway.curl("/agents").bearer(&key).send().status, 200);
    let admin = admin(&gateway);
    let path = format!("/keys/{}", key.id());
    crate::support::until("the call is on the books", || admin.page(&path).contains("0.50"));
    let page = admin.page(&path);
    assert!(page.contains("It may call 2 of 2 routes"), "{page}");
    assert!(page.contains("of 1.00 (50 %)"), "the budget is half spent: {page}");
    assert!(page.contains(&format!("/keys/{}", child.id())), "its child is listed");
    let (_, scopes) = page.split_once("Scopes, granted and used").unwrap();
    let (write, billing) = scopes.split_once("billing:read").unwrap();
    assert!(write.contains("<code>/agents</code>"), "what it implies was used: {write}");
    assert!(billing.contains("unused"), "{billing}");
    assert!(page.contains("key.create"), "its making is on record");
    let below = admin.page(&format!("/keys/{}", child.id()));
    assert!(below.contains(&format!("/keys/{}", key.id())), "the key above it leads on");
    gateway.run(&format!("key disable {}", key.id()));
    let below = admin.page(&format!("/keys/{}", child.id()));
    assert!(below.contains("The key above it, main, is disabled"), "{below}");
    assert_eq!(admin.get("/keys/key_nothing").status, 404);
}

#[test]
fn a_viewer_sees_everything_and_nothing_that_changes_anything() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let key = gateway.key("--name main --scope agents:read");
    let token = gateway.admin_token("--name looker --role viewer");
    let viewer = Browserless::signed_in(&gateway, &token);
    let path = format!("/keys/{}", key.id());
    for page in ["/", "/keys", &path].map(|path| viewer.page(path)) {
        let posts = page.matches("method=\"post\"").count();
        assert_eq!(posts, 1, "only signing out: {page}");
        for word in [
            "Rotate</a>",
            "Edit</a>",
            "Revoke",
            "/keys/new",
            "/keys/bulk",
            "\"checkbox\" name=\"id\"",
        ] {
            assert!(!page.contains(word), "{word} in {page}");
        }
    }
    for form in ["new", "bulk?do=revoke"].map(|it| format!("/keys/{it}")) {
        assert_eq!(viewer.get(&form).status, 403, "{form}");
    }
    for form in ["edit", "rotate", "revoke"].map(|it| format!("{path}/{it}")) {
        assert_eq!(viewer.get(&form).status, 403, "{form}");
        assert_eq!(viewer.post(&form, &[("name", "main"), ("grace", "0")]).status, 403, "{form}");
    }
    for form in ["disable", "enable"].map(|it| format!("{path}/{it}")) {
        assert_eq!(viewer.post(&form, &[]).status, 403, "{form}");
    }
    assert_eq!(viewer.post("/keys/new", &[("name", "k")]).status, 403);
    assert_eq!(viewer.post("/keys/bulk", &[("do", "revoke"), ("id", key.id())]).status, 403);
    assert_eq!(gateway.curl("/agents").bearer(&key).send().status, 200, "nothing has changed");
}

#[test]
fn a_key_is_switched_off_and_on_again() {
    let api = Origin::start();
    let gateway = gateway(&api);
    let admin = admin(&gateway);
    let form = admin.page("/keys/new");
    let once = super::hidden(&form, "once");
    let fields = [("once", once.as_str()), ("name", "main"), ("scope", "agents:read")];
    let key = shown_secret(&admin.post("/keys/new", &fields));
    let path = format!("/keys/{}", key.id());
    for (word, status, other) in [("disable", 401, "enable"), ("enable", 200, "disable")] {
        let answer = admin.post(&format!("{path}/{word}"), &[]);
        assert_eq!(answer.status, 303, "{}", answer.text());
        let page = admin.page(answer.header("location").unwrap());
        assert!(page.contains(&format!("{word}d")) && page.contains(&format!("{path}/{other}")));
        crate::support::until("the gateway has heard of it", || {
            gateway.curl("/agents").bearer(&key).send().status == status
        });
    }
}
