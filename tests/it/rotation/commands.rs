//! The commands: schedules, who is overdue, from where a secret was used.

use keygate::domain::Clock;
use rstest::rstest;
use rustix::process::Signal;
use serde_json::Value;

use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{Origin, TestGateway, TestStore};

const CONFIG: &str = "[[routes]]\npath = \"/**\"\nupstream = \"api\"";

fn start(kind: Kind, origin: &Origin) -> Option<TestGateway> {
    let setup = TestGateway::with(TestStore::of(kind)?).config(CONFIG);
    Some(setup.upstream("api", origin).start())
}

fn days(key: &Value) -> &Value {
    &key["rotation"]["interval_days"]
}

#[rstest]
fn a_schedule_is_set_changed_and_taken_away(#[values(Sqlite, Postgres)] kind: Kind) {
    let origin = Origin::start();
    let Some(gateway) = start(kind, &origin) else { return };
    let key = gateway.key("--name a --rotate-every 90d");
    assert_eq!(days(&key.json), 90);
    let update = |more: &str| gateway.run(&format!("key update {} {more}", key.id()));
    assert_eq!(days(&update("--rotate-every 30d --name b")), 30);
    assert_eq!(days(&gateway.run(&format!("key show {}", key.id()))), 30);
    assert_eq!(update("--rotate-every never")["name"], "b");
    assert_eq!(days(&gateway.run(&format!("key show {}", key.id()))), &Value::Null);
    let audit = gateway.run(&format!("audit --key {}", key.id()));
    let changes: Vec<_> = audit["data"].as_array().unwrap().iter().collect();
    let actions: Vec<_> = changes.iter().map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["key.schedule", "key.schedule", "key.update", "key.create"]);
    assert_eq!(changes[0]["before"]["rotation_interval_days"], 30);
    assert_eq!(changes[1]["after"]["rotation_interval_days"], 30);

    for wrong in ["0d", "36h", "90", "3651d"] {
        let command = ["key", "update", key.id(), "--rotate-every", wrong];
        let refused = gateway.installation().try_run(&command);
        assert_ne!(refused.code, 0, "{wrong}");
        assert!(refused.err.contains("days"), "{wrong}: {}", refused.err);
    }
}

#[rstest]
fn overdue_keys_are_listed(#[values(Sqlite, Postgres)] kind: Kind) {
    let origin = Origin::start();
    let Some(gateway) = start(kind, &origin) else { return };
    let mint = |flags: &str| gateway.key(flags).id().to_owned();
    let (late, due) =
        (mint("--name late --rotate-every 30d"), mint("--name due --rotate-every 30d"));
    let (old, set) = (mint("--name old"), mint("--name set"));
    let (off, rotated) = (mint("--name off"), mint("--name rotated --rotate-every 1d"));
    mint("--name fresh");
    let age = |key: &str, days: i64| {
        let made =
            (Clock::system().now() - jiff::SignedDuration::from_hours(24 * days)).as_millisecond();
        gateway
            .store()
            .sql(&format!("UPDATE secrets SET created_at = {made} WHERE key_id = '{key}'"));
    };
    for (key, days) in [(&late, 38), (&due, 36), (&old, 91), (&set, 400), (&off, 91), (&rotated, 9)]
    {
        age(key, days);
    }
    // Its schedule is set only now, so that it has its grace.
    gateway.run(&format!("key update {set} --rotate-every 30d"));
    gateway.run(&format!("key disable {off}"));
    gateway.run(&format!("key rotate {rotated}"));
    let names = |list: &Value| -> Vec<String> {
        let rows = list["data"].as_array().unwrap().iter();
        rows.map(|key| key["name"].as_str().unwrap().to_owned()).collect()
    };
    let overdue = gateway.run("key list --overdue");
    assert_eq!(names(&overdue), ["old", "late"]);
    let all = gateway.run("key list");
    let mut shown = all["data"].as_array().unwrap().clone();
    shown.retain(|key| key["rotation"]["overdue"] == true && key["status"] == "active");
    assert_eq!(&shown, overdue["data"].as_array().unwrap(), "the list and the field say the same");
    let text = gateway.installation().run(&["key", "show", &late]);
    assert!(text.contains("every 30 days (overdue)"), "{text}");
}

#[rstest]
fn key_show_says_whether_the_old_secret_is_still_used_and_from_where(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let origin = Origin::start();
    let Some(mut gateway) = start(kind, &origin) else { return };
    let old = gateway.key("--name a");
    let new = gateway.mint(&format!("key rotate {}", old.id()));
    let unused = gateway.key("--name unused");
    assert_eq!(gateway.curl("/a").bearer(&old).send().status, 200);
    gateway.signal(Signal::TERM);
    gateway.wait();

    let shown = gateway.run(&format!("key show {}", old.id()));
    let secrets = shown["secrets"].as_array().unwrap();
    let [first, second] = secrets.as_slice() else { panic!("{secrets:?}") };
    assert!(first["last_used_at"].is_string() && second["last_used_at"].is_null());
    let from = shown["last_used_from"].as_object().unwrap();
    assert_eq!(from.len(), 1, "{from:?}");
    assert_eq!(from[first["id"].as_str().unwrap()], "127.0.0.1");
    let shown = gateway.run(&format!("key show {}", unused.id()));
    assert_eq!(shown.get("last_used_from"), None);
    let text = gateway.installation().run(&["key", "show", new.id()]);
    let line = |id: &Value| {
        let id = id.as_str().unwrap();
        text.lines().find(|line| line.trim_start().starts_with(id)).unwrap().to_owned()
    };
    assert!(line(&first["id"]).contains("127.0.0.1"), "{text}");
    assert!(!line(&second["id"]).contains("127.0.0.1"), "{text}");
}
