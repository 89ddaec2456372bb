//! What a key with a schedule is answered, second by second.

use keygate::domain::KeyWithSecrets;
use rstest::rstest;

use super::{DAY, DUE, ENDS, Scene, at};
use crate::support::Kind::{self, Postgres, Sqlite};
use crate::support::{Answer, until};

/// In the form of RFC 3339 and as an HTTP date: the end of the time to claim.
const ENDS_TEXT: &str = "2026-04-07T00:00:00Z";
const ENDS_DATE: &str = "Tue, 07 Apr 2026 00:00:00 GMT";

#[track_caller]
fn asks_for_nothing(answer: &Answer) {
    assert_eq!(answer.status, 200);
    answer.lacks("x-api-key-rotate-by").lacks("sunset");
}

#[rstest]
fn from_due_to_claim_every_answer_says_by_when_and_then_the_old_secret_has_its_grace(
    #[values(Sqlite, Postgres)] kind: Kind,
) {
    let Some(scene) = Scene::on(kind, "") else { return };
    let (_, old) = scene.key();
    asks_for_nothing(&scene.call("/a", &old));
    scene.move_to(DUE - 1);
    asks_for_nothing(&scene.call("/a", &old));

    for second in [DUE, DUE + DAY, ENDS - 1] {
        scene.move_to(second);
        let answer = scene.call("/a", &old);
        assert_eq!(answer.status, 200);
        // Nothing stops: so nothing says that it sets.
        answer.says("x-api-key-rotate-by", ENDS_TEXT).lacks("sunset");
    }
    let refused = scene.call("/scoped", &old);
    assert_eq!(refused.status, 403);
    refused.says("x-api-key-rotate-by", ENDS_TEXT);

    let claimed = DUE + 2 * DAY;
    scene.move_to(claimed);
    let new = scene.rotate(&old);
    until("the claim is in force", || scene.call("/a", &old).header("sunset").is_some());
    let answer = scene.call("/a", &old);
    answer.says("x-api-key-rotate-by", "2026-04-09T00:00:00Z");
    answer.says("sunset", "Thu, 09 Apr 2026 00:00:00 GMT");
    asks_for_nothing(&scene.call("/a", &new));

    scene.move_to(claimed + 7 * DAY - 1);
    assert_eq!(scene.status(&old), 200);
    scene.move_to(claimed + 7 * DAY);
    scene.call("/a", &old).is_refusal(401, "unauthorized", "Invalid or missing API key");
    asks_for_nothing(&scene.call("/a", &new));
    // The next one is due an interval after the new secret was made.
    scene.move_to(claimed + DUE - 1);
    asks_for_nothing(&scene.call("/a", &new));
    scene.move_to(claimed + DUE);
    scene.call("/a", &new).says("x-api-key-rotate-by", "2026-05-09T00:00:00Z");
}

#[test]
fn unclaimed_it_goes_on_where_nothing_is_enforced() {
    let Some(scene) = Scene::on(Sqlite, "") else { return };
    let (_, key) = scene.key();
    for second in [ENDS, ENDS + 300 * DAY] {
        scene.move_to(second);
        let answer = scene.call("/a", &key);
        assert_eq!(answer.status, 200);
        answer.says("x-api-key-rotate-by", ENDS_TEXT).lacks("sunset");
    }
}

#[rstest]
fn unclaimed_and_enforced_it_stops_until_it_is_rotated(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(scene) = Scene::on(kind, "enforce_rotation = true") else { return };
    let (_, key) = scene.key();
    scene.move_to(DUE - 1);
    asks_for_nothing(&scene.call("/a", &key));
    for second in [DUE, ENDS - 1] {
        scene.move_to(second);
        let answer = scene.call("/a", &key);
        assert_eq!(answer.status, 200);
        answer.says("x-api-key-rotate-by", ENDS_TEXT).says("sunset", ENDS_DATE);
    }
    // A clock that jumps back revives nothing.
    for second in [ENDS, ENDS + 1, ENDS - 1, 0] {
        scene.move_to(second);
        scene.call("/a", &key).is_refusal(401, "unauthorized", "Invalid or missing API key");
    }
    scene.move_to(ENDS + DAY);
    let new = scene.rotate(&key);
    until("the key is revived", || scene.status(&new) == 200);
    asks_for_nothing(&scene.call("/a", &new));
    // The operator gave the old secret a grace, and so it has one.
    scene.call("/a", &key).says("x-api-key-rotate-by", "2026-04-15T00:00:00Z");
}

#[test]
fn claimed_in_its_last_second_an_enforced_key_goes_on() {
    let Some(scene) = Scene::on(Sqlite, "enforce_rotation = true") else { return };
    let (_, old) = scene.key();
    scene.move_to(ENDS - 1);
    let new = scene.rotate(&old);
    until("the claim is in force", || scene.status(&new) == 200);
    scene.move_to(ENDS);
    assert_eq!((scene.status(&old), scene.status(&new)), (200, 200));
    scene.move_to(ENDS - 1 + 7 * DAY);
    assert_eq!((scene.status(&old), scene.status(&new)), (401, 200));
}

#[test]
fn a_schedule_asks_for_nothing_before_it_was_set() {
    let Some(scene) = Scene::on(Sqlite, "enforce_rotation = true") else { return };
    let (held, key) = scene.key();
    let id = &held.key.id;
    let set = |days| scene.by_hand(async |mint| mint.schedule(id, days).await.unwrap());
    set(None);
    scene.move_to(500 * DAY);
    until("the schedule is gone", || scene.status(&key) == 200);
    asks_for_nothing(&scene.call("/a", &key));

    let held = set(Some(30));
    assert_eq!(held.next_rotation_at(at(500 * DAY)), Some(at(500 * DAY)), "its secret is old");
    until("it is due at once", || scene.call("/a", &key).header("x-api-key-rotate-by").is_some());
    scene.move_to(507 * DAY - 1);
    assert_eq!(scene.status(&key), 200, "it has its grace all the same");
    scene.move_to(507 * DAY);
    assert_eq!(scene.status(&key), 401);
}

#[rstest]
fn to_set_a_schedule_again_wins_no_time(#[values(Sqlite, Postgres)] kind: Kind) {
    let Some(scene) = Scene::on(kind, "enforce_rotation = true") else { return };
    let (held, key) = scene.key();
    let set =
        |days| scene.by_hand(async |mint| mint.schedule(&held.key.id, Some(days)).await.unwrap());
    let due = |held: &KeyWithSecrets, second| held.next_rotation_at(at(second));
    // While it is not due, it is due by the new interval, and at the earliest now.
    assert_eq!(due(&set(40), 0), Some(at(40 * DAY)));
    scene.move_to(20 * DAY);
    assert_eq!(due(&set(10), 20 * DAY), Some(at(20 * DAY)));
    // Once it is due, that moment stays.
    scene.move_to(26 * DAY);
    for days in [10, 5, 15] {
        assert_eq!(due(&set(days), 26 * DAY), Some(at(20 * DAY)), "{days}");
    }
    scene.move_to(27 * DAY - 1);
    assert_eq!(scene.status(&key), 200);
    scene.move_to(27 * DAY);
    assert_eq!(scene.status(&key), 401);
    set(60);
    until("it is not due for a while", || scene.status(&key) == 200);
}
