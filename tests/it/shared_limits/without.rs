//! Redis killed, frozen, empty, not there: each instance keeps limits by its own share, nobody waits
//! for it, and when it is back nothing bursts.

use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::{Instances, ROUTES, Timed, crowd, passed, redis_is, says_left};
use crate::support::{MintedKey, Origin, Redis, TestGateway, TestStore, until};

/// How long a crowd goes on.
const LONG: Duration = Duration::from_secs(3);
/// By when all is as before, once Redis is back.
const HEALED: Duration = Duration::from_secs(2);

/// A crowd in the middle of which something happens; what was answered before, and after.
fn in_the_middle(
    instances: &Instances,
    origin: &Origin,
    key: &MintedKey,
    happens: impl FnOnce(),
) -> (Vec<Timed>, Vec<Timed>) {
    let (end, already) = (Instant::now() + LONG, origin.count());
    let (answers, happened) = thread::scope(|scope| {
        let crowd =
            scope.spawn(|| crowd(instances, &[2, 2, 2], key, "/a", |_, _| Instant::now() < end));
        until("some have passed", || origin.count() >= already + 30);
        happens();
        let happened = Instant::now();
        (crowd.join().expect("no client panics"), happened)
    });
    answers.into_iter().partition(|timed| timed.came < happened)
}

/// The slowest answer of so many in a hundred.
fn percentile(answers: &[Timed], per_cent: usize) -> Duration {
    let mut took: Vec<_> = answers.iter().map(|timed| timed.came - timed.asked).collect();
    took.sort_unstable();
    took[(took.len() * per_cent / 100).min(took.len() - 1)]
}

/// Sixty have passed. Where Redis was late while a crowd was at a limit that was nearly reached, one
/// more may have.
fn is_sixty(instances: &Instances, passed: usize) {
    let late = instances.total("keygate_redis_late_total");
    println!("{passed} passed, {late} late");
    assert!((60..=60 + usize::from(late > 0)).contains(&passed), "{passed} passed");
}

#[test]
fn killed_in_the_middle_it_holds_nobody_up_and_no_instance_lets_more_than_a_limit_pass() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(instances) = Instances::start(3, &redis, &origin) else { return };
    let key = instances.key("--limit 60/min");
    let (before, after) = in_the_middle(&instances, &origin, &key, || redis.kill());
    println!(
        "{} passed before and {} after; p50 {:?} and {:?}, p99 {:?} and {:?}, max {:?} and {:?}",
        passed(&before),
        passed(&after),
        percentile(&before, 50),
        percentile(&after, 50),
        percentile(&before, 99),
        percentile(&after, 99),
        percentile(&before, 100),
        percentile(&after, 100),
    );
    for gateway in &instances.0 {
        let log = gateway.access_log();
        let passed = log.lines().filter(|line| line.contains("\"status\":200")).count();
        assert!(passed <= 60, "{passed} passed on one instance");
        gateway.wait_for_log("Redis is away");
    }
    // Where requests are spread evenly, shares make one limit.
    assert!(passed(&before) + passed(&after) <= 60 + 20);
    assert!(before.iter().chain(&after).all(|timed| [200, 429].contains(&timed.answer.status)));
    assert!(percentile(&after, 99) < percentile(&before, 99) + Duration::from_millis(5));
    instances.wait_until_all_are("down");
    assert_eq!(instances.total("keygate_redis_up"), 0);
}

#[test]
fn frozen_it_holds_nobody_up_and_thawed_it_is_trusted_within_two_seconds() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(instances) = Instances::start(3, &redis, &origin) else { return };
    let key = instances.key("--limit 6000/min");
    let (before, after) = in_the_middle(&instances, &origin, &key, || redis.freeze());
    println!(
        "{} passed before and {} after; p50 {:?} and {:?}, p99 {:?} and {:?}, max {:?} and {:?}",
        passed(&before),
        passed(&after),
        percentile(&before, 50),
        percentile(&after, 50),
        percentile(&before, 99),
        percentile(&after, 99),
        percentile(&before, 100),
        percentile(&after, 100),
    );
    assert!(passed(&before) + passed(&after) <= 6_000 + 2_000);
    instances.wait_until_all_are("down");
    redis.thaw();
    let thawed = Instant::now();
    instances.wait_until_all_share();
    println!("healed after {:?}", thawed.elapsed());
    assert!(thawed.elapsed() < HEALED);
}

#[test]
fn started_again_empty_it_is_told_all_that_was_counted_before_anything_passes_by_it() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(instances) = Instances::start(3, &redis, &origin) else { return };
    let key = instances.key("--limit 60/min --limit 1000/hour");
    // Where Redis is late, some are refused.
    let first = passed(&crowd(&instances, &[1, 1, 1], &key, "/a", |_, sent| sent < 15));

    redis.kill();
    instances.wait_until_all_are("down");
    redis.run();
    let back = Instant::now();
    instances.wait_until_all_share();
    println!("healed after {:?}", back.elapsed());
    assert!(back.elapsed() < HEALED);

    let then = passed(&crowd(&instances, &[2, 2, 2], &key, "/a", |_, sent| sent < 50));
    is_sixty(&instances, first + then);
}

#[test]
fn emptied_under_way_it_is_found_out_and_told_again() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(instances) = Instances::start(3, &redis, &origin) else { return };
    let key = instances.key("--limit 60/min");
    // Where Redis is late, some are refused.
    let first = passed(&crowd(&instances, &[1, 1, 1], &key, "/a", |_, sent| sent < 15));

    redis.ask(&["FLUSHALL"]);
    // At once, so that some come before it is found out.
    let then = crowd(&instances, &[2, 2, 2], &key, "/a", |_, sent| sent < 50);
    for gateway in &instances.0 {
        gateway.wait_for_log("its data was lost");
    }
    instances.wait_until_all_share();
    let last = crowd(&instances, &[2, 2, 2], &key, "/a", |_, sent| sent < 50);
    is_sixty(&instances, first + passed(&then) + passed(&last));
}

#[test]
fn what_passed_before_it_was_there_is_booked_when_it_comes() {
    let origin = Origin::start();
    let Some(redis) = Redis::stopped(&["--save", ""]) else { return };
    let Some(store) = TestStore::postgres() else { return };
    let first = TestGateway::with(store)
        .config(ROUTES)
        .config(&redis.setting())
        .upstream("api", &origin)
        .start();
    let second = first.another();
    let instances = Instances(vec![first, second]);
    assert!(instances.0.iter().all(|gateway| redis_is(gateway) == "down"));
    let key = instances.key("--limit 60/min");
    let alone = crowd(&instances, &[1, 1], &key, "/a", |_, sent| sent < 10);
    assert_eq!(passed(&alone), 20);

    redis.run();
    instances.wait_until_all_share();
    says_left(&instances.0[1], &key, 39);
}

#[test]
fn one_that_remembers_is_told_of_what_passed_meanwhile_and_of_nothing_twice() {
    let origin = Origin::start();
    let Some(redis) = Redis::that_remembers() else { return };
    let Some(instances) = Instances::start(2, &redis, &origin) else { return };
    let key = instances.key("--limit 60/min");
    let first = passed(&crowd(&instances, &[1, 1], &key, "/a", |_, sent| sent < 10));
    // Until nothing is under way, of which nobody could know afterwards whether it was booked.
    let left = says_left(&instances.0[0], &key, 60 - first as u64 - 1);
    let left = says_left(&instances.0[1], &key, left - 1);
    redis.kill();
    instances.wait_until_all_are("down");
    let alone = crowd(&instances, &[1, 1], &key, "/a", |_, sent| sent < 5);
    assert_eq!(passed(&alone), 10);
    redis.run();
    instances.wait_until_all_share();
    says_left(&instances.0[0], &key, left - 10 - 1);
}
