//! Several instances on one Redis, in a world whose time stands in the test's hands.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::model::Model;
use super::*;
use crate::limit::RouteId;

const WAIT_MS: u64 = 4;
const MINUTE_MS: u64 = 60_000;
/// What the clock of the instances' machines shows less than Redis's.
const CLOCK: u64 = 1_700_000_000_000;

/// Instances, what is on its way between them and Redis, and what passed when.
struct World {
    now_ms: u64,
    redis: Model,
    keys: Vec<SharedKey>,
    events: BTreeMap<(u64, u64), Event>,
    made: u64,
    waiting: BTreeMap<u64, (usize, Subjects)>,
    own: Vec<Limit>,
    route: Vec<Limit>,
    /// How long a message to or from Redis takes, in turn.
    delays: Vec<u64>,
    passed: Vec<(u64, usize)>,
    refused: usize,
    longest_wait_ms: u64,
    draws: usize,
    how_late: How,
    /// How many more requests come as soon as another is answered.
    follow: usize,
}

enum Event {
    Request { instance: usize },
    AtRedis { instance: usize, draw: draw::Draw },
    Answered { instance: usize, draw: draw::Draw, answer: draw::Answer },
    TooLate { request: u64, since_ms: u64 },
    Look,
}

impl World {
    fn of(instances: usize, own: &[&str], delays: &[u64]) -> Self {
        let mut world = Self {
            now_ms: 0,
            redis: Model::default(),
            keys: (0..instances).map(|_| SharedKey::new(KeyId::from_text("key_a"))).collect(),
            events: BTreeMap::new(),
            made: 0,
            waiting: BTreeMap::new(),
            own: own.iter().map(|limit| limit.parse().unwrap()).collect(),
            route: Vec::new(),
            delays: delays.to_vec(),
            passed: Vec::new(),
            refused: 0,
            longest_wait_ms: 0,
            draws: 0,
            how_late: How::Late,
            follow: 0,
        };
        world.at(0, Event::Look);
        world
    }

    fn at(&mut self, at_ms: u64, event: Event) -> u64 {
        self.made += 1;
        self.events.insert((at_ms, self.made), event);
        self.made
    }

    fn requests(&mut self, at_ms: impl IntoIterator<Item = (u64, usize)>) {
        for (at_ms, instance) in at_ms {
            self.at(at_ms, Event::Request { instance });
        }
    }

    fn run_until(&mut self, end_ms: u64) {
        while let Some(first) = self.events.first_entry()
            && first.key().0 <= end_ms
        {
            let ((at_ms, number), event) = first.remove_entry();
            self.now_ms = at_ms;
            self.step(number, event);
        }
    }

    fn step(&mut self, number: u64, event: Event) {
        match event {
            Event::Request { instance } => {
                self.decide(number, instance, Subjects::default(), How::Granted, self.now_ms);
            }
            Event::AtRedis { instance, draw } => {
                let (name, live) = (format!("{instance}"), self.live());
                let answer = self.redis.answer(&name, &draw, live, CLOCK + self.now_ms);
                let at_ms = self.now_ms + self.delay();
                self.at(at_ms, Event::Answered { instance, draw, answer });
            }
            Event::Answered { instance, draw, answer } => {
                let subject = draw.subject;
                let after = self.keys[instance].take_up(draw, &answer, self.now_ms);
                if after.look_at_ms.is_some_and(|at_ms| at_ms <= self.now_ms)
                    && self.keys[instance].ask(subject, self.now_ms)
                {
                    self.draw(instance, subject);
                }
                self.wake(instance);
            }
            Event::TooLate { request, since_ms } => {
                if let Some((instance, about)) = self.waiting.remove(&request) {
                    self.decide(request, instance, about, self.how_late, since_ms);
                }
            }
            Event::Look => {
                for instance in 0..self.keys.len() {
                    for subject in self.keys[instance].unsettled(false, self.now_ms) {
                        self.draw(instance, subject);
                    }
                }
                self.at(self.now_ms + 100, Event::Look);
            }
        }
    }

    fn wake(&mut self, instance: usize) {
        let woken: Vec<u64> =
            self.waiting.iter().filter(|(_, w)| w.0 == instance).map(|w| *w.0).collect();
        for request in woken {
            let (_, about) = self.waiting.remove(&request).unwrap();
            self.decide(request, instance, about, How::Granted, u64::MAX);
        }
    }

    fn decide(&mut self, request: u64, at: usize, waited: Subjects, how: How, since_ms: u64) {
        let route = Some((RouteId::of(["/a"]), self.route.as_slice()));
        let asked = Asked::of(&self.own, route).unwrap();
        let live = self.live();
        let (verdict, asks) = self.keys[at].decide(asked, waited, how, live, self.now_ms);
        for subject in asks.each() {
            self.draw(at, subject);
        }
        if self.follow > 0 && !matches!(verdict, Verdict::Wait(_)) {
            self.follow -= 1;
            self.at(self.now_ms + 1, Event::Request { instance: at });
        }
        match verdict {
            Verdict::Pass(_) => self.passed.push((self.now_ms, at)),
            Verdict::Refuse(_) => self.refused += 1,
            Verdict::Wait(about) => {
                self.waiting.insert(request, (at, about));
                if since_ms != u64::MAX {
                    self.at(since_ms + WAIT_MS, Event::TooLate { request, since_ms });
                }
            }
        }
        if how == self.how_late {
            self.longest_wait_ms = self.longest_wait_ms.max(self.now_ms - since_ms);
        }
    }

    fn draw(&mut self, instance: usize, subject: draw::Subject) {
        self.draws += 1;
        let draw = self.keys[instance].draw(subject, self.now_ms);
        let at_ms = self.now_ms + self.delay();
        self.at(at_ms, Event::AtRedis { instance, draw });
    }

    fn delay(&mut self) -> u64 {
        self.delays.rotate_left(1);
        self.delays[0]
    }

    fn live(&self) -> u32 {
        self.keys.len() as u32
    }

    /// The most that passed in any window of that length, wherever it begins.
    fn most_in(&self, length_ms: u64) -> usize {
        let times: Vec<u64> = self.passed.iter().map(|(at_ms, _)| *at_ms).collect();
        let within = |at: usize| times[at..].partition_point(|later| later - times[at] < length_ms);
        (0..times.len()).map(within).max().unwrap_or(0)
    }
}

/// Requests all over a time, at instances in the given turn.
fn evenly(requests: u64, within_ms: u64, turn: &[usize]) -> impl Iterator<Item = (u64, usize)> {
    let turn = turn.to_vec();
    (0..requests).map(move |n| (n * within_ms / requests, turn[n as usize % turn.len()]))
}

#[test]
fn of_a_small_limit_exactly_that_many_pass_wherever_they_come() {
    for turn in [&[0, 1, 2][..], &[0], &[0, 0, 0, 0, 1, 0, 0, 2]] {
        let mut world = World::of(3, &["60/min", "1000/hour"], &[0, 1, 0, 0]);
        world.requests(evenly(1_000, 50_000, turn));
        world.run_until(55_000);
        assert_eq!(world.passed.len(), 60, "{turn:?}");
        assert_eq!(world.refused, 940);
        // One for each that passed, and a look a second and instance for all that are refused.
        assert!(world.draws < 60 + 3 * 60, "{}", world.draws);
    }
}

#[test]
fn of_a_large_limit_all_but_a_hundredth_passes_and_most_of_it_without_a_question() {
    let mut world = World::of(3, &["6000/min"], &[1]);
    world.requests(evenly(6_300, 50_000, &[0, 1, 2]));
    world.run_until(55_000);
    assert!((5_940..=6_000).contains(&world.passed.len()), "{}", world.passed.len());
    assert!(world.draws < 6_000 / 4, "{}", world.draws);
}

#[test]
fn what_one_instance_holds_and_does_not_use_comes_back_to_the_others() {
    let mut world = World::of(3, &["6000/min"], &[1]);
    // One instance has a crowd for a second, then none; the others take all the rest.
    world.requests(evenly(300, 1_000, &[0]));
    world.requests(
        evenly(9_000, 50_000, &[1, 2]).map(|(at_ms, instance)| (at_ms + 1_000, instance)),
    );
    world.run_until(55_000);
    assert_eq!(world.passed.len(), 6_000);
}

#[test]
fn a_client_that_keeps_an_even_pace_below_the_limit_is_never_refused() {
    for limit in ["60/min", "6000/min", "2/s"] {
        let mut world = World::of(3, &[limit], &[1]);
        let limit: Limit = limit.parse().unwrap();
        let pace_ms = u64::from(limit.window.seconds()) * 1_000 / u64::from(limit.max.get());
        // A hundredth slower, for what is on its way, and what is held.
        let requests = (0..600).map(|n| (n * (pace_ms + pace_ms / 50 + 5), n as usize % 3));
        world.requests(requests);
        world.run_until(700 * (pace_ms + pace_ms / 50 + 5));
        assert_eq!(world.refused, 0, "{limit}");
    }
}

#[test]
fn a_route_and_the_key_are_counted_together_or_not_at_all() {
    let mut world = World::of(2, &["100/min"], &[1]);
    world.route = vec!["10/min".parse().unwrap()];
    world.requests(evenly(500, 20_000, &[0, 1]));
    world.run_until(25_000);
    assert_eq!(world.passed.len(), 10);
    // What the route refused took nothing of the key's.
    world.route.clear();
    world
        .requests(evenly(500, 20_000, &[0, 1]).map(|(at_ms, instance)| (at_ms + 25_000, instance)));
    world.run_until(50_000);
    assert_eq!(world.passed.len(), 100);
}

#[test]
fn after_a_loss_of_data_all_that_was_counted_is_told_again() {
    let mut world = World::of(3, &["60/min"], &[1]);
    world.requests(evenly(45, 10_000, &[0, 1, 2]));
    world.run_until(12_000);
    world.redis.lose();
    for key in &world.keys {
        key.lose();
    }
    for instance in 0..3 {
        for subject in world.keys[instance].unsettled(true, world.now_ms) {
            world.draw(instance, subject);
        }
    }
    world.run_until(12_500);
    world.requests(
        evenly(500, 20_000, &[0, 1, 2]).map(|(at_ms, instance)| (at_ms + 13_000, instance)),
    );
    world.run_until(40_000);
    assert_eq!(world.passed.len(), 60);
}

#[test]
fn a_limit_that_is_raised_lets_more_pass_at_once_and_forgets_nothing() {
    let mut world = World::of(2, &["60/min"], &[1]);
    world.requests(evenly(100, 1_000, &[0, 1]));
    world.run_until(2_000);
    assert_eq!(world.passed.len(), 60);
    world.own = vec!["100/min".parse().unwrap(), "90/hour".parse().unwrap()];
    world.requests(evenly(200, 1_000, &[0, 1]).map(|(at_ms, instance)| (at_ms + 2_000, instance)));
    world.run_until(4_000);
    // The hour counts from when it was first asked for.
    assert_eq!(world.passed.len(), 100);
    world.own = vec!["80/min".parse().unwrap()];
    world.requests(evenly(20, 1_000, &[0, 1]).map(|(at_ms, instance)| (at_ms + 4_000, instance)));
    world.run_until(6_000);
    assert_eq!(world.passed.len(), 100);
}

#[test]
fn alone_an_instance_lets_its_share_pass_whatever_passed_before_and_tells_of_it_later() {
    let mut world = World::of(3, &["60/min"], &[1]);
    world.requests(evenly(15, 1_000, &[0]));
    world.run_until(2_000);
    let limits = world.own.clone();
    let asked = Asked::of(&limits, None).unwrap();
    let passes = |world: &World, instance: usize| {
        let key = &world.keys[instance];
        let decide = || key.decide(asked, Subjects::default(), How::Alone, 3, world.now_ms).0;
        (0..100).filter(|_| matches!(decide(), Verdict::Pass(_))).count()
    };
    assert_eq!([0, 1, 2].map(|instance| passes(&world, instance)), [5, 20, 20]);
    world.run_until(2_500);
    world.requests(evenly(100, 1_000, &[2]).map(|(at_ms, instance)| (at_ms + 3_000, instance)));
    world.run_until(5_000);
    assert_eq!(world.passed.len(), 15, "the sixty had passed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn with_redis_in_time_no_window_has_more_than_the_limit_and_a_crowd_gets_all_of_it(
        instances in 1usize..5,
        limit in prop_oneof![1u32..100, 100u32..3_000],
        turn in prop::collection::vec(0usize..5, 1..9),
        delays in prop::collection::vec(0u64..2, 1..9),
        crowd in 2u64..5,
    ) {
        let mut world = World::of(instances, &[&format!("{limit}/min")], &delays);
        let turn: Vec<usize> = turn.into_iter().map(|at| at % instances).collect();
        // Over three minutes, several times what may pass.
        world.requests(evenly(u64::from(limit) * 3 * crowd, 3 * MINUTE_MS, &turn));
        world.run_until(3 * MINUTE_MS);
        prop_assert!(world.most_in(MINUTE_MS) <= limit as usize, "{}", world.most_in(MINUTE_MS));
        let first = world.passed.partition_point(|(at_ms, _)| *at_ms < MINUTE_MS);
        let wanted = limit as usize - limit as usize / 100;
        prop_assert!(first >= wanted, "{first} of {limit} in the first minute");
    }

    #[test]
    fn however_late_redis_is_nobody_waits_longer_and_hardly_more_passes(
        limit in prop_oneof![1u32..100, 100u32..3_000],
        turn in prop::collection::vec(0usize..3, 1..9),
        delays in prop::collection::vec(0u64..25, 1..9),
    ) {
        let mut world = World::of(3, &[&format!("{limit}/min")], &delays);
        world.requests(evenly(u64::from(limit) * 4, MINUTE_MS, &turn));
        world.run_until(MINUTE_MS);
        prop_assert!(world.longest_wait_ms <= WAIT_MS);
        let most = world.most_in(MINUTE_MS);
        // A hundredth, or of a small limit one for each of the others.
        let more = (limit as usize).div_ceil(100).max(2);
        prop_assert!(most <= limit as usize + more, "{most} of {limit}");
    }

    #[test]
    fn of_a_crowd_that_asks_as_fast_as_it_is_answered_hardly_more_passes_where_redis_is_late(
        clients in prop::collection::vec(0usize..3, 3..16),
        delays in prop::collection::vec(
            prop_oneof![80 => 0u64..2, 15 => 2u64..6, 5 => 6u64..30],
            20..200,
        ),
    ) {
        let mut world = World::of(3, &["60/min", "1000/hour"], &delays);
        world.follow = 3_000;
        world.requests(clients.iter().map(|instance| (0, *instance)));
        world.run_until(20_000);
        prop_assert!((59..=61).contains(&world.passed.len()), "{} passed", world.passed.len());
    }

    #[test]
    fn where_redis_is_always_late_the_limit_is_kept_to_one_an_instance(
        limit in prop_oneof![10u32..100, 100u32..3_000],
        turn in prop::collection::vec(0usize..3, 1..9),
        delay in 5u64..25,
    ) {
        let mut world = World::of(3, &[&format!("{limit}/min")], &[delay]);
        world.how_late = How::FarLate;
        world.requests(evenly(u64::from(limit) * 3, MINUTE_MS, &turn));
        world.run_until(MINUTE_MS);
        let (limit, passed) = (limit as usize, world.passed.len());
        prop_assert!((limit - limit / 100..=limit + 3).contains(&passed), "{passed} of {limit}");
    }
}
