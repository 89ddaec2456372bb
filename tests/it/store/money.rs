//! Leases neither make nor lose money, whatever is done with them and in whatever order.

use std::collections::BTreeMap;

use keygate::domain::money::LeaseSize;
use keygate::domain::{JournalId, Key, LeaseId, Millionths, Month, OwnerId, Used};
use keygate::store::{Booking, Grant, LeaseAsk};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::{Kind, TestStore, act, at, batch};
use crate::support::block_on;

/// 2026-11-29T12:30:00Z.
const NOW_MS: i64 = 1_795_955_400_000;
const BUDGETS: [i64; 3] = [1_000, 600, 600];
const CREDITS: i64 = 1_200;
const HOLDERS: usize = 2;

/// Something that happens to the money of a parent (0) and its two children.
#[derive(Clone, Debug)]
enum Step {
    /// An instance asks for so much for a key.
    Grant { holder: usize, key: usize, want: i64, least: i64 },
    /// A request is answered that cost so much of what the lease has, at most.
    Spend { lease: usize, cost: i64 },
    /// A cost that nobody knew before goes beyond the lease.
    Overshoot { lease: usize, beyond: i64 },
    /// An instance's journal comes to the books.
    Book { holder: usize },
    /// So much of a lease is given back, at most.
    GiveBack { lease: usize, amount: i64 },
    /// An instance does not renew its leases in time. It has noticed itself by then.
    Expire { holder: usize },
    /// An instance dies; its journal is taken over.
    Crash { holder: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let (holder, lease) = (0..HOLDERS, 0..8_usize);
    prop_oneof![
        4 => (holder.clone(), 0..3_usize, 0..500_i64, 1..60_i64)
            .prop_map(|(holder, key, want, least)| Step::Grant { holder, key, want, least }),
        6 => (lease.clone(), 1..80_i64).prop_map(|(lease, cost)| Step::Spend { lease, cost }),
        1 => (lease.clone(), 1..30_i64).prop_map(|(lease, beyond)| Step::Overshoot { lease, beyond }),
        3 => holder.clone().prop_map(|holder| Step::Book { holder }),
        2 => (lease, 1..200_i64).prop_map(|(lease, amount)| Step::GiveBack { lease, amount }),
        1 => holder.clone().prop_map(|holder| Step::Expire { holder }),
        1 => holder.prop_map(|holder| Step::Crash { holder }),
    ]
}

/// A lease as its holder knows it.
#[derive(Clone, Debug)]
struct Lease {
    id: i64,
    holder: usize,
    key: usize,
    /// Not spent yet.
    left: i64,
    /// Spent, and not booked yet.
    unbooked: i64,
    /// Whether it is still on the books.
    lives: bool,
}

struct World {
    store: TestStore,
    keys: Vec<Key>,
    journals: Vec<JournalId>,
    positions: Vec<u64>,
    waiting: Vec<Vec<Used>>,
    leases: Vec<Lease>,
    /// All that was booked, by key.
    booked: [i64; 3],
    /// What went beyond its lease, or came to the books behind its lease's end.
    beyond: i64,
}

impl World {
    async fn new() -> Self {
        let store = Kind::Sqlite.ready().await.expect("SQLite is always there");
        let mut keys: Vec<Key> = Vec::new();
        for budget in BUDGETS {
            let parent = keys.first().map(|parent| parent.id.clone());
            let change = |key: &mut Key| {
                key.monthly_budget = Millionths::new(budget);
                key.parent_id = parent;
            };
            keys.push(store.key_with(change).await.0);
        }
        let owner = OwnerId::from_text("default");
        let credits = Millionths::new(CREDITS).unwrap();
        store.add_credits(&act(), &owner, credits, "").await.unwrap();
        Self {
            store,
            keys,
            journals: (0..HOLDERS).map(|_| JournalId::mint()).collect(),
            positions: vec![0; HOLDERS],
            waiting: vec![Vec::new(); HOLDERS],
            leases: Vec::new(),
            booked: [0; 3],
            beyond: 0,
        }
    }

    async fn happens(&mut self, step: &Step) {
        match *step {
            Step::Grant { holder, key, want, least } => self.grant(holder, key, want, least).await,
            Step::Spend { lease, cost } => self.spend(lease, cost, 0),
            Step::Overshoot { lease, beyond } => self.spend(lease, i64::MAX, beyond),
            Step::Book { holder } => self.book(holder).await,
            Step::GiveBack { lease, amount } => self.give_back(lease, amount).await,
            Step::Expire { holder } => self.expire(holder).await,
            Step::Crash { holder } => self.crash(holder).await,
        }
    }

    async fn grant(&mut self, holder: usize, key: usize, want: i64, least: i64) {
        let same = |it: &Lease| it.holder == holder && it.key == key && it.lives;
        let at = self.leases.iter().position(same).unwrap_or_else(|| {
            let id = i64::try_from(self.leases.len()).unwrap() + 1;
            self.leases.push(Lease { id, holder, key, left: 0, unbooked: 0, lives: true });
            self.leases.len() - 1
        });
        let ask = LeaseAsk {
            lease: LeaseId::from_number(self.leases[at].id).unwrap(),
            holder: self.journals[holder].clone(),
            key: self.keys[key].id.clone(),
            month: Month::of_ms(NOW_MS),
            credits_of: Some(OwnerId::from_text("default")),
            size: LeaseSize { want, ample: want, least, unit: 1, instances: HOLDERS },
            lasts: std::time::Duration::from_hours(1),
        };
        if let Grant::Granted(amount) = self.store.grant(&ask).await.unwrap() {
            assert!(amount >= least);
            self.leases[at].left += amount;
        }
    }

    fn spend(&mut self, lease: usize, cost: i64, beyond: i64) {
        let Some(lease) = self.leases.get_mut(lease).filter(|lease| lease.lives) else { return };
        let paid = cost.min(lease.left);
        if paid + beyond == 0 {
            return;
        }
        lease.left -= paid;
        lease.unbooked += paid;
        self.beyond += beyond;
        let (key, id) = (&self.keys[lease.key], LeaseId::from_number(lease.id).unwrap());
        self.waiting[lease.holder].push(Used {
            at: at(NOW_MS),
            request_id: "r".to_owned(),
            key: key.id.clone(),
            owner: key.owner_id.clone(),
            route: "/".to_owned(),
            status: 200,
            cost: Millionths::new(paid + beyond).unwrap(),
            lease: Some((id, Millionths::new(paid).unwrap())),
        });
    }

    async fn book(&mut self, holder: usize) {
        let used = std::mem::take(&mut self.waiting[holder]);
        for used in &used {
            let key = self.keys.iter().position(|key| key.id == used.key).unwrap();
            self.booked[key] += used.cost.get();
        }
        for lease in self.leases.iter_mut().filter(|lease| lease.holder == holder) {
            if !lease.lives {
                self.beyond += lease.unbooked;
            }
            lease.unbooked = 0;
        }
        let from = self.positions[holder];
        let to = from + used.len() as u64;
        let journal = self.journals[holder].clone();
        let batch = batch(&journal, from, &used);
        assert_eq!(self.store.book(&batch, at(NOW_MS)).await.unwrap(), Booking::Done);
        // Whoever brings it again is told where the books are, and nothing is booked twice.
        if from != to {
            assert_eq!(self.store.book(&batch, at(NOW_MS)).await.unwrap(), Booking::At(to));
        }
        self.positions[holder] = to;
    }

    async fn give_back(&mut self, lease: usize, amount: i64) {
        let Some(lease) = self.leases.get_mut(lease) else { return };
        let amount = amount.min(lease.left);
        lease.left -= amount;
        self.store.give_back(LeaseId::from_number(lease.id).unwrap(), amount).await.unwrap();
    }

    async fn expire(&mut self, holder: usize) {
        let journal = &self.journals[holder];
        self.store
            .sql(&format!("UPDATE leases SET expires_at = 1 WHERE holder = '{journal}'"))
            .await;
        self.store.release_expired_leases().await.unwrap();
        self.end_leases(holder);
    }

    async fn crash(&mut self, holder: usize) {
        self.book(holder).await;
        self.store.release_leases(&self.journals[holder]).await.unwrap();
        self.end_leases(holder);
    }

    fn end_leases(&mut self, holder: usize) {
        for lease in self.leases.iter_mut().filter(|lease| lease.holder == holder) {
            (lease.left, lease.lives) = (0, false);
        }
    }

    /// What the store says is what its holders know, and adds up.
    async fn adds_up(&self) {
        let held = |of: &[usize]| -> i64 {
            let of = self.leases.iter().filter(|lease| lease.lives && of.contains(&lease.key));
            of.map(|lease| lease.left + lease.unbooked).sum()
        };
        let ids: Vec<_> = self.keys.iter().map(|key| key.id.clone()).collect();
        let month = Month::of_ms(NOW_MS);
        let kept: BTreeMap<_, _> =
            self.store.spending(&ids, month).await.unwrap().into_iter().collect();
        for (key, members) in [(0, &[0, 1, 2][..]), (1, &[1]), (2, &[2])] {
            let kept = kept.get(&ids[key]).copied().unwrap_or_default();
            let spent: i64 = members.iter().map(|member| self.booked[*member]).sum();
            assert_eq!((kept.spent, kept.held), (spent, held(members)), "key {key}");
            let most = BUDGETS[key] + self.beyond;
            assert!(kept.spent + kept.held <= most, "key {key}: {kept:?} of {most}");
        }
        let credits = self.store.credits(&OwnerId::from_text("default")).await.unwrap().unwrap();
        let spent: i64 = self.booked.iter().sum();
        assert_eq!((credits.balance, credits.held), (CREDITS - spent, held(&[0, 1, 2])));
    }
}

#[test]
fn whatever_happens_to_leases_no_money_is_made_and_none_is_lost() {
    let mut runner =
        TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let steps = prop::collection::vec(step(), 1..50);
    let played = runner.run(&steps, |steps| {
        block_on(async {
            let mut world = World::new().await;
            for step in &steps {
                world.happens(step).await;
                world.adds_up().await;
            }
        });
        Ok(())
    });
    played.unwrap_or_else(|failure| panic!("{failure}"));
}
