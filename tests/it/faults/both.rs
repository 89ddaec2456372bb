//! Postgres and Redis away, each and both, in every order.

use super::{call, is_unavailable};
use crate::support::load::{Load, get};
use crate::support::{MintedKey, Origin, Redis, TestGateway, TestStore, until};

/// One of the two stops or comes back.
#[derive(Clone, Copy, Debug)]
enum Event {
    StoreStops,
    StoreIsBack,
    RedisStops,
    RedisIsBack,
}

use Event::{RedisIsBack, RedisStops, StoreIsBack, StoreStops};

/// Every order in which both stop once and come back.
const ORDERS: [[Event; 4]; 6] = [
    [StoreStops, StoreIsBack, RedisStops, RedisIsBack],
    [StoreStops, RedisStops, StoreIsBack, RedisIsBack],
    [StoreStops, RedisStops, RedisIsBack, StoreIsBack],
    [RedisStops, RedisIsBack, StoreStops, StoreIsBack],
    [RedisStops, StoreStops, RedisIsBack, StoreIsBack],
    [RedisStops, StoreStops, StoreIsBack, RedisIsBack],
];

/// Two instances, and keys that both know.
struct Scene {
    redis: Redis,
    instances: [TestGateway; 2],
    good: MintedKey,
    revoked: MintedKey,
    /// Of each order one that nobody has used yet.
    unseen: [MintedKey; ORDERS.len()],
}

impl Scene {
    fn on(origin: &Origin) -> Option<Self> {
        let (redis, store) = (Redis::start()?, TestStore::own_postgres()?);
        let setup = TestGateway::with(store).config(super::CONFIG).config(&redis.setting());
        let first = setup.upstream("api", origin).start();
        let instances = [first.another(), first];
        let [good, revoked] = ["good", "revoked"].map(|n| instances[1].key(&format!("--name {n}")));
        let unseen = std::array::from_fn(|n| instances[1].key(&format!("--name unseen{n}")));
        let scene = Self { redis, instances, good, revoked, unseen };
        scene.everywhere("it knows the key", |it| call(it, &scene.good).status == 200);
        scene.everywhere("it knows the key", |it| call(it, &scene.revoked).status == 200);
        scene.instances[0].run(&format!("key revoke {}", scene.revoked.id()));
        Some(scene)
    }

    fn everywhere(&self, what: &str, is_so: impl Fn(&TestGateway) -> bool) {
        for instance in &self.instances {
            until(what, || is_so(instance));
        }
    }

    /// Lets it happen, and waits until every instance has noticed.
    fn happens(&self, event: Event) {
        let says = |metric: &'static str, up: u64| {
            self.everywhere(metric, |it| it.metrics().total(metric) == up);
        };
        match event {
            StoreStops => {
                self.instances[1].store().server().stop();
                says("keygate_store_up", 0);
            }
            StoreIsBack => {
                self.instances[1].store().server().start();
                says("keygate_store_up", 1);
            }
            RedisStops => {
                self.redis.kill();
                says("keygate_redis_up", 0);
            }
            RedisIsBack => {
                self.redis.run();
                says("keygate_redis_up", 1);
            }
        }
    }
}

#[test]
fn in_whatever_order_both_are_lost_good_keys_pass_and_revoked_ones_do_not() {
    let origin = Origin::start();
    let Some(scene) = Scene::on(&origin) else { return };
    let load = |key: &MintedKey| {
        let start = |it: &TestGateway| Load::start(it.address(), vec![get("/a", key.secret())]);
        scene.instances.each_ref().map(start)
    };
    let (good, revoked) = (load(&scene.good), load(&scene.revoked));
    for (order, unseen) in ORDERS.into_iter().zip(&scene.unseen) {
        let mut store_is_away = false;
        for event in order {
            scene.happens(event);
            store_is_away = matches!(event, StoreStops) || store_is_away;
            store_is_away = !matches!(event, StoreIsBack) && store_is_away;
            if store_is_away {
                is_unavailable(&call(&scene.instances[0], unseen));
            }
            good.iter().chain(&revoked).for_each(|load| load.wait_for_more(50));
        }
        scene.everywhere("it lets the key in", |it| call(it, unseen).status == 200);
    }
    for load in good {
        let tally = load.stop();
        assert!(tally.keys().eq([&200]), "good keys: {tally:?}");
    }
    for load in revoked {
        let tally = load.stop();
        assert!(tally.keys().eq([&401]), "revoked keys: {tally:?}");
    }
}
