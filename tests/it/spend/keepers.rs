//! Purses and their keepers, each as one instance has them, on one store.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use keygate::domain::{
    Environment, JournalId, Key, KeyId, Millionths, Month, OwnerId, PublicId, Reason, Secret,
};
use keygate::spend::{Keeper, Now, Purse, Reservation, Spender, Terms, TermsStamp};
use keygate::store::Store;
use keygate::telemetry::metrics::Metrics;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// 2026-11-15, in milliseconds since the epoch.
const TODAY: i64 = 1_794_700_800_000;
const GOOD_FOR: Duration = Duration::from_mins(15);
const PATIENCE: Duration = Duration::from_secs(20);

/// An instance's spending.
struct Instance {
    spender: Spender,
    keeper: tokio::task::AbortHandle,
    time: Arc<Time>,
}

/// A wall clock that a test moves, beside the real monotonic one.
struct Time {
    origin: Instant,
    wall_ms: AtomicI64,
    ahead_ms: AtomicU64,
}

impl Time {
    fn now(&self) -> Now {
        let real = self.origin.elapsed().as_millis() as u64;
        Now {
            wall_ms: self.wall_ms.load(Ordering::Relaxed),
            monotonic_ms: real + self.ahead_ms.load(Ordering::Relaxed),
        }
    }
}

impl Instance {
    fn start(store: &Arc<dyn Store>, holder: &str, of: usize) -> Self {
        let time = Arc::new(Time {
            origin: Instant::now(),
            wall_ms: AtomicI64::new(TODAY),
            ahead_ms: AtomicU64::new(0),
        });
        let (_, instances) = watch::channel(of);
        let clock = Arc::clone(&time);
        let now = move || clock.now();
        let (spender, keeper) = Keeper::new(
            Arc::clone(store),
            JournalId::from_text(holder),
            instances,
            now,
            GOOD_FOR,
            Metrics::new(1, "test"),
        );
        let keeper = tokio::spawn(keeper.run()).abort_handle();
        Self { spender, keeper, time }
    }

    async fn reserve(
        &self,
        purse: &Arc<Purse>,
        cost: i64,
        budget: i64,
    ) -> Result<Reservation, Reason> {
        self.spender.reserve(purse, cost, terms(budget), self.time.now()).await
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

fn terms(budget: i64) -> Terms<'static> {
    let mut stamp = TermsStamp::of_credits(0);
    stamp.bind(Millionths::new(budget));
    Terms { stamp: stamp.stamp().unwrap(), credits_of: None }
}

async fn store() -> (TempDir, Arc<dyn Store>) {
    let folder = TempDir::new().unwrap();
    let location = keygate::config::StoreLocation::Sqlite(folder.path().join("keygate.db"));
    let store = keygate::store::open(&location).await.unwrap();
    store.migrate().await.unwrap();
    (folder, store)
}

/// A key that may spend so many millionths a month.
async fn key(store: &dyn Store, budget: i64, parent: Option<&KeyId>) -> KeyId {
    let now = jiff::Timestamp::from_millisecond(TODAY).unwrap();
    let owner = OwnerId::from_text("default");
    let mut key = Key::new("spends".to_owned(), owner, Environment::Live, now);
    key.monthly_budget = Millionths::new(budget);
    key.parent_id = parent.cloned();
    let id: PublicId = key.id.as_str()[22..].parse().unwrap();
    let secret = Secret::new(id, "sk".to_owned(), "no hash".to_owned(), now);
    store.create_key(&keygate::domain::Act::own(now), &key, &secret).await.unwrap();
    key.id
}

async fn held(store: &dyn Store, key: &KeyId) -> i64 {
    let month = Month::of_ms(TODAY);
    let found = store.spending(std::slice::from_ref(key), month).await.unwrap();
    found.first().map_or(0, |(_, spending)| spending.held)
}

/// Waits until the store says that so much is held.
async fn is_held(store: &dyn Store, key: &KeyId, wanted: i64) {
    let look = async {
        while held(store, key).await != wanted {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, look).await.unwrap_or_else(|_| panic!("never {wanted} held"));
}

/// Spends until there is no more; how often that went well.
async fn spend_all(instance: &Instance, purse: &Arc<Purse>, budget: i64) -> usize {
    let mut passed = 0;
    loop {
        match instance.reserve(purse, 1, budget).await {
            Ok(paid) => assert_eq!(paid.settle(1).1, 1),
            Err(reason) => {
                assert_eq!(reason, Reason::BudgetExceeded);
                return passed;
            }
        }
        passed += 1;
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_instances_spend_a_budget_to_its_end_and_no_further() {
    let (_folder, store) = store().await;
    let id = key(&*store, 1_000, None).await;
    let instance = |n: usize| {
        let purse = Arc::new(Purse::new(id.clone()));
        (Instance::start(&store, &format!("jrn_{n}"), 3), purse)
    };
    let instances: Vec<_> = (0..3).map(instance).collect();
    let client = |client: usize| {
        let (instance, purse) = &instances[client % 3];
        spend_all(instance, purse, 1_000)
    };
    let passed: usize =
        timeout(PATIENCE, join_all((0..64).map(client))).await.unwrap().iter().sum();
    assert_eq!(passed, 1_000);
    assert_eq!(held(&*store, &id).await, 1_000, "nothing of it is booked in this test");
}

#[tokio::test(flavor = "multi_thread")]
async fn children_spend_what_their_parent_has_and_no_more() {
    let (_folder, store) = store().await;
    let parent = key(&*store, 1_000, None).await;
    let mut purses = Vec::new();
    for _ in 0..10 {
        purses.push(Arc::new(Purse::new(key(&*store, 500, Some(&parent)).await)));
    }
    let instances = [Instance::start(&store, "jrn_a", 2), Instance::start(&store, "jrn_b", 2)];
    let others: Vec<_> = purses.iter().map(|p| Arc::new(Purse::new(p.key.clone()))).collect();
    let clients = purses.iter().map(|purse| spend_all(&instances[0], purse, 500));
    let more = others.iter().map(|purse| spend_all(&instances[1], purse, 500));
    let passed: usize =
        timeout(PATIENCE, join_all(clients.chain(more))).await.unwrap().iter().sum();
    assert_eq!(passed, 1_000);
    assert_eq!(held(&*store, &parent).await, 1_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_and_not_spent_is_there_for_the_next() {
    let (_folder, store) = store().await;
    let id = key(&*store, 10, None).await;
    let (instance, purse) = (Instance::start(&store, "jrn_1", 1), Arc::new(Purse::new(id)));
    let paid = instance.reserve(&purse, 10, 10).await.unwrap();
    assert_eq!(instance.reserve(&purse, 1, 10).await.unwrap_err(), Reason::BudgetExceeded);
    drop(paid);
    let paid = instance.reserve(&purse, 10, 10).await.unwrap();
    assert_eq!(paid.settle(4).1, 4);
    assert_eq!(instance.reserve(&purse, 6, 10).await.unwrap().settle(6).1, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cost_that_nobody_knew_is_paid_as_far_as_the_lease_goes() {
    let (_folder, store) = store().await;
    let id = key(&*store, 100, None).await;
    let (instance, purse) = (Instance::start(&store, "jrn_1", 1), Arc::new(Purse::new(id)));
    let (_, paid) = instance.reserve(&purse, 1, 100).await.unwrap().settle(5_000);
    assert!((1..=100).contains(&paid), "{paid}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_month_begins_with_a_whole_budget() {
    let (_folder, store) = store().await;
    let id = key(&*store, 10, None).await;
    let (instance, purse) = (Instance::start(&store, "jrn_1", 1), Arc::new(Purse::new(id)));
    let before_its_end = Month::of_ms(TODAY).ends().as_millisecond() - 1;
    instance.time.wall_ms.store(before_its_end, Ordering::Relaxed);
    assert_eq!(spend_all(&instance, &purse, 10).await, 10);
    instance.time.wall_ms.store(before_its_end + 1, Ordering::Relaxed);
    assert_eq!(spend_all(&instance, &purse, 10).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_idle_flows_back_and_what_comes_back_late_too() {
    let (_folder, store) = store().await;
    let id = key(&*store, 1_000, None).await;
    let (instance, purse) = (Instance::start(&store, "jrn_1", 1), Arc::new(Purse::new(id.clone())));
    let late = instance.reserve(&purse, 3, 1_000).await.unwrap();
    assert_eq!(instance.reserve(&purse, 2, 1_000).await.unwrap().settle(2).1, 2);
    instance.time.ahead_ms.store(6_000, Ordering::Relaxed);
    is_held(&*store, &id, 5).await;
    drop(late);
    is_held(&*store, &id, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_terms_are_asked_about_at_once() {
    let (_folder, store) = store().await;
    let id = key(&*store, 5, None).await;
    let (instance, purse) = (Instance::start(&store, "jrn_1", 1), Arc::new(Purse::new(id.clone())));
    assert_eq!(spend_all(&instance, &purse, 5).await, 5);
    let act = keygate::domain::Act::own(jiff::Timestamp::UNIX_EPOCH);
    let budget = |budget| keygate::store::KeyPatch {
        monthly_budget: Some(Millionths::new(budget)),
        ..Default::default()
    };
    store.update_key(&act, &id, &budget(8)).await.unwrap();
    assert_eq!(spend_all(&instance, &purse, 8).await, 3);
    store.update_key(&act, &id, &budget(2)).await.unwrap();
    assert_eq!(spend_all(&instance, &purse, 2).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_budget_takes_back_what_is_held_under_the_higher_one() {
    let (_folder, store) = store().await;
    let id = key(&*store, 1_000, None).await;
    let (instance, purse) = (Instance::start(&store, "jrn_1", 1), Arc::new(Purse::new(id.clone())));
    assert_eq!(instance.reserve(&purse, 1, 1_000).await.unwrap().settle(1).1, 1);
    assert!(held(&*store, &id).await > 3);
    let act = keygate::domain::Act::own(jiff::Timestamp::UNIX_EPOCH);
    let lower =
        keygate::store::KeyPatch { monthly_budget: Some(Millionths::new(3)), ..Default::default() };
    store.update_key(&act, &id, &lower).await.unwrap();
    assert_eq!(spend_all(&instance, &purse, 3).await, 2);
}
