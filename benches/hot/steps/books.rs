//! What it costs, and that it was.

use std::hint::black_box;
use std::time::Duration;

use futures_util::FutureExt as _;
use jiff::Timestamp;
use keygate::auth::table::KeyTable;
use keygate::config::StoreLocation;
use keygate::domain::{Act, JournalId, Millionths, PublicId};
use keygate::spend::{Keeper, Now};
use keygate::telemetry::metrics::Metrics;
use keygate::usage::{Journal, Line, RouteName, Sizes};
use tokio::sync::watch;

use super::{NOW, loaded, policy};

/// An answered request written down: a place taken, a record of 192 bytes made and put into the mapped
/// file. In one large segment, since no other thread makes them as fast as records are written here.
pub fn write_to_the_journal() -> impl FnMut() {
    let folder = tempfile::tempdir().unwrap();
    let sizes = Sizes { records: 1 << 20, most_bytes: 1 << 30 };
    let journal = Journal::start(folder.path(), 1, sizes).unwrap();
    let writer = journal.writer(0);
    let line = Line {
        at_ms: 1_795_955_400_123,
        request_id: b"01890a5d-ac96-774b-bcce-b302099a8057",
        key: "key_01jzzzzzzzzzzzzzzzzzzzzzzz",
        owner: "own_01jzzzzzzzzzzzzzzzzzzzzzzz",
        route: RouteName::of("/v1/agents/{id}/runs"),
        status: 200,
        cost: Millionths::new(2_000).unwrap(),
        lease: None,
    };
    move || {
        let _stay = (&folder, &journal);
        let line = black_box(&line);
        writer.reserve(line.key, line.owner).expect("there is room").fill(line);
    }
}

/// What a budget costs a request: which terms bind its key, its cost set aside from the lease, and
/// settled. The lease never runs out here, so that the store is asked once.
pub fn set_aside_and_settle() -> impl FnMut() -> i64 {
    let folder = tempfile::tempdir().unwrap();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
    let id: PublicId = "AAAAAAAA".parse().unwrap();
    let mut key = loaded(id);
    key.key.key.monthly_budget = Millionths::new(i64::MAX);
    let now = Now { wall_ms: 1_795_955_400_123, monotonic_ms: 1 };
    let metrics = Metrics::new(1, "bench");
    let spender = runtime.block_on(async {
        let location = StoreLocation::Sqlite(folder.path().join("keygate.db"));
        let store = keygate::store::open(&location).await.unwrap();
        store.migrate().await.unwrap();
        let (record, secret) = (&key.key.key, &key.key.secrets[0]);
        store.create_key(&Act::own(Timestamp::UNIX_EPOCH), record, secret).await.unwrap();
        let alone = watch::channel(1).1;
        let good_for = Duration::from_hours(1);
        let holder = JournalId::mint();
        let (spender, keeper) = Keeper::new(store, holder, alone, move || now, good_for, metrics);
        tokio::spawn(keeper.run());
        spender
    });
    let table = KeyTable::holding([key], &policy(), NOW);
    let secret = table.secret(id).unwrap();
    let policy = policy();
    let reserve = async move |cost| {
        let record = secret.key.record(&policy);
        let terms = secret.key.terms(&record).unwrap();
        spender.reserve(secret.key.purse(), cost, terms, now).await.expect("it is paid")
    };
    runtime.block_on(reserve(1)).settle(1);
    move || {
        let _stay = (&folder, &runtime);
        let paid = reserve(black_box(0)).now_or_never().expect("the lease has enough");
        paid.settle(black_box(0)).1
    }
}
