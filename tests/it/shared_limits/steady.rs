//! With Redis in reach.

use std::time::Duration;

use tokio::time::Instant;

use super::{Instances, crowd, passed, says_left};
use crate::support::{Origin, Redis};

const ATTEMPTS: usize = 8;

#[test]
fn of_a_thousand_requests_over_three_instances_sixty_pass_however_they_are_spread() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(instances) = Instances::start(3, &redis, &origin) else { return };
    // Connections to each, and how many requests each of them sends.
    for (connections, requests) in
        [([4, 4, 4], [84, 83, 83]), ([8, 1, 1], [112, 94, 10]), ([1, 0, 8], [10, 0, 124])]
    {
        let answers = when_redis_is_in_time(
            &instances,
            |answers: &Vec<_>| passed(answers) == 60,
            || {
                let key = instances.key("--limit 60/min --limit 1000/hour");
                crowd(&instances, &connections, &key, "/a", |instance, sent| {
                    sent < requests[instance]
                })
            },
        );
        assert_eq!(passed(&answers), 60, "{connections:?}");
        for timed in answers.iter().filter(|timed| timed.answer.status != 200) {
            timed.answer.is_refusal(429, "rate_limited", "Too many requests");
            assert!((1..=62).contains(&timed.answer.number("retry-after")));
        }
    }
}

/// Plays until it comes out right or Redis was in time for every request: on a machine that stands
/// still for some milliseconds a request has to go on before Redis has answered, and then one more
/// may pass.
fn when_redis_is_in_time<T>(
    instances: &Instances,
    is_right: impl Fn(&T) -> bool,
    play: impl Fn() -> T,
) -> T {
    let late = || instances.total("keygate_redis_late_total");
    for _ in 0..ATTEMPTS {
        let before = late();
        let outcome = play();
        if is_right(&outcome) || late() == before {
            return outcome;
        }
    }
    panic!("Redis was late in each of {ATTEMPTS} attempts");
}

#[test]
fn an_instance_says_what_is_left_over_all_of_them() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(instances) = Instances::start(2, &redis, &origin) else { return };
    let key = instances.key("--limit 60/min");
    let call = |instance: usize| instances.0[instance].curl("/a").bearer(&key).send();
    (0..10).for_each(|_| drop(call(0)));
    let answer = call(1);
    answer.says("x-ratelimit-limit", "60").says("ratelimit-policy", r#""60/min";q=60;w=60"#);
    says_left(&instances.0[1], &key, 48);
}

#[test]
fn in_no_second_of_four_does_more_pass_than_a_second_may() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(instances) = Instances::start(3, &redis, &origin) else { return };
    let key = instances.key("--limit 50/s");
    let end = Instant::now() + Duration::from_secs(4);
    let answers = crowd(&instances, &[1, 1, 1], &key, "/a", |_, _| Instant::now() < end);
    let mut passes: Vec<_> = answers.iter().filter(|timed| timed.answer.status == 200).collect();
    passes.sort_by_key(|timed| timed.came);
    for (place, first) in passes.iter().enumerate() {
        // Those that surely passed within one second.
        let window = first.asked + Duration::from_secs(1);
        let within = passes[place..]
            .iter()
            .filter(|timed| timed.asked >= first.asked && timed.came < window);
        assert!(within.count() <= 50);
    }
    println!("{} passed in four seconds", passes.len());
    assert!(passes.len() >= 190, "{} passed", passes.len());
}

#[test]
fn of_a_large_limit_all_passes_to_within_a_hundredth_and_most_asks_nobody() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(instances) = Instances::start(3, &redis, &origin) else { return };
    let key = instances.key("--limit 6000/min");
    let before = instances.total("keygate_redis_calls_total");
    let begun = Instant::now();
    let answers = crowd(&instances, &[2, 2, 2], &key, "/a", |_, sent| sent < 1_100);
    let calls = instances.total("keygate_redis_calls_total") - before;
    let passed = passed(&answers);
    println!("{passed} of {} in {:?}, {calls} calls", answers.len(), begun.elapsed());
    assert!((5_940..=6_060).contains(&passed), "{passed} passed");
    assert!(calls < 2_000, "{calls} calls");
}

#[test]
fn a_route_and_the_key_are_counted_together_or_not_at_all() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(instances) = Instances::start(3, &redis, &origin) else { return };
    let both = when_redis_is_in_time(
        &instances,
        |both| *both == (10, 20),
        || {
            let key = instances.key("--limit 30/min");
            let pass =
                |path| passed(&crowd(&instances, &[2, 2, 2], &key, path, |_, sent| sent < 10));
            (pass("/limited"), pass("/a"))
        },
    );
    assert_eq!(both, (10, 20));
}

#[test]
fn an_instance_that_ends_gives_back_what_it_held() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let Some(mut instances) = Instances::start(2, &redis, &origin) else { return };
    let key = instances.key("--limit 30000/day");
    // Some of them, so that it holds a batch for minutes.
    let first = passed(&crowd(&instances, &[1, 0], &key, "/a", |_, sent| sent < 50));
    assert_eq!(first, 50);
    let mut ending = instances.0.remove(0);
    ending.signal(rustix::process::Signal::TERM);
    assert!(ending.wait().success());
    says_left(&instances.0[0], &key, 30_000 - 50 - 1);
}
