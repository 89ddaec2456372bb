//! The steps that every request takes, each alone: `cargo bench --bench hot`.

#![expect(clippy::unwrap_used, reason = "what does not set up cannot be measured")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use divan::{Bencher, black_box};
use futures_util::FutureExt as _;
use http::{Method, Uri};
use jiff::Timestamp;
use keygate::auth::Verified;
use keygate::auth::table::{KeyPolicy, KeyTable, Moment};
use keygate::auth::verify::may_go_on;
use keygate::config::{self, StoreLocation};
use keygate::domain::scope::ScopeEntry;
use keygate::domain::{
    Act, Catalogue, Environment, JournalId, Key, KeyWithSecrets, Limit, Millionths, Owner, OwnerId,
    PublicId, Reason, Secret,
};
use keygate::key::SecretFormat;
use keygate::key::hash::DigestKey;
use keygate::limit::{KeyCounters, RouteId};
use keygate::proxy::explain::Ground;
use keygate::proxy::matcher::Matcher;
use keygate::proxy::path::canonical;
use keygate::proxy::plan::Plan;
use keygate::proxy::refusals::{Noted, Refusals, kept_method, kept_target};
use keygate::spend::{Keeper, Now};
use keygate::store::Loaded;
use keygate::telemetry::access::masked;
use keygate::telemetry::metrics::Metrics;
use keygate::usage::{Journal, Line, RouteName, Sizes};
use tokio::sync::watch;

fn main() {
    divan::main();
}

fn format() -> SecretFormat {
    SecretFormat {
        live_prefix: "sk_live_".to_owned(),
        test_prefix: Some("sk_test_".to_owned()),
        checksum: true,
    }
}

fn secret() -> String {
    let minted = format().mint(Environment::Live).unwrap().unwrap();
    minted.text.expose().to_owned()
}

fn policy() -> KeyPolicy {
    KeyPolicy {
        generation: 1,
        catalogue: Catalogue::default(),
        per_key: Vec::new(),
        test_keys_count: false,
        rotation_grace: Duration::ZERO,
        enforce_rotation: false,
    }
}

#[divan::bench]
fn parse_a_secret(bencher: Bencher) {
    let (format, secret) = (format(), secret());
    bencher.bench_local(|| format.parse(black_box(secret.as_bytes())));
}

#[divan::bench]
fn digest_a_secret(bencher: Bencher) {
    let (key, secret) = (DigestKey::random().unwrap(), secret());
    bencher.bench_local(|| key.digest(black_box(secret.as_bytes())));
}

/// A known secret among ten thousand keys, each asked for in turn: digest, look-up, comparison.
#[divan::bench]
fn hit_the_key_table(bencher: Bencher) {
    const KEYS: usize = 10_000;
    let digests = DigestKey::random().unwrap();
    let minted: Vec<_> =
        (0..KEYS).map(|_| format().mint(Environment::Live).unwrap().unwrap()).collect();
    let now = Moment { monotonic_ms: 0, wall_ms: 0 };
    let table = KeyTable::holding(minted.iter().map(|minted| loaded(minted.id)), &policy(), now);
    for minted in &minted {
        let digest = digests.digest(minted.text.expose().as_bytes());
        table.secret(minted.id).unwrap().confirm(digest);
    }
    let mut asked = minted.iter().cycle();
    bencher.bench_local(|| {
        let minted = asked.next().unwrap();
        let entry = table.secret(minted.id).unwrap();
        let digest = digests.digest(minted.text.expose().as_bytes());
        entry.digest().is_some_and(|known| digest.matches(known))
    });
}

/// What a worker's sweep asks three times a second of each request under way: of ten thousand, each of
/// a key of its own, in no order.
#[divan::bench]
fn look_at_the_keys_of_ten_thousand_streams(bencher: Bencher) {
    const STREAMS: usize = 10_000;
    let id = |n: usize| format!("{:08}", n * 7_919 % STREAMS).parse::<PublicId>().unwrap();
    let now = Moment { monotonic_ms: 0, wall_ms: 0 };
    let keys = (0..STREAMS).map(|n| loaded(format!("{n:08}").parse().unwrap()));
    let table = KeyTable::holding(keys, &policy(), now);
    let key = |id: PublicId| (Arc::clone(&table.secret(id).unwrap().key), id);
    let streams: Vec<_> = (0..STREAMS).map(|n| key(id(n))).collect();
    bencher.bench_local(|| {
        streams.iter().filter(|(key, id)| may_go_on(key, *id, black_box(now)).is_err()).count()
    });
}

/// What every answer asks: whether the key's client should have a new secret. Without a schedule, and
/// with one.
#[divan::bench(args = [false, true])]
fn ask_when_to_rotate(bencher: Bencher, scheduled: bool) {
    let id: PublicId = "AAAAAAAA".parse().unwrap();
    let mut key = loaded(id);
    key.key.key.rotation_interval_days = scheduled.then_some(30);
    let now = Moment { monotonic_ms: 0, wall_ms: 0 };
    let table = KeyTable::holding([key], &policy(), now);
    let verified = Verified { secret: table.secret(id).unwrap() };
    let policy = policy();
    bencher.bench_local(|| verified.rotate_by(black_box(&policy), || black_box(0)));
}

/// What every request of a minute but the first does to note its use.
#[divan::bench]
fn note_a_use(bencher: Bencher) {
    let id: PublicId = "AAAAAAAA".parse().unwrap();
    let table = KeyTable::holding([loaded(id)], &policy(), Moment { monotonic_ms: 0, wall_ms: 0 });
    let secret = table.secret(id).unwrap();
    let client = [192, 0, 2, 1].into();
    bencher.bench_local(|| secret.used(black_box(90_000), black_box(client)));
}

/// A key with one secret, as the store gives it.
fn loaded(secret: PublicId) -> Loaded {
    let now = Timestamp::UNIX_EPOCH;
    let owner = Owner::new(OwnerId::from_text("default"), "default".to_owned(), now);
    let key = Key::new("bench".to_owned(), owner.id.clone(), Environment::Live, now);
    let secret = Secret::new(secret, String::new(), String::new(), now);
    Loaded { key: KeyWithSecrets { key, secrets: vec![secret] }, owner }
}

#[divan::bench(args = ["/v1/agents/a1b2c3d4/runs", "/v1/agents/caf%c3%a9%20%31/runs"])]
fn canonical_path(bencher: Bencher, path: &str) {
    bencher.bench_local(|| canonical(black_box(path)).map(|path| path.len()));
}

/// A fifth of the routes each: literal, with a name, below a name, a whole subtree, another method.
#[divan::bench(args = [10, 10_000])]
fn match_a_route_among(bencher: Bencher, routes: usize) {
    let paths: Vec<String> = (0..routes)
        .map(|n| match n % 5 {
            0 => format!("/v1/things{}/all", n / 5),
            1 | 4 => format!("/v1/things{}/{{id}}", n / 5),
            2 => format!("/v1/things{}/{{id}}/runs", n / 5),
            _ => format!("/v1/things{}/{{id}}/files/**", n / 5),
        })
        .collect();
    let methods = |n: usize| if n % 5 == 4 { [Method::DELETE] } else { [Method::GET] };
    let methods: Vec<[Method; 1]> = (0..routes).map(methods).collect();
    let given = paths.iter().zip(&methods).map(|(path, methods)| (path.as_str(), &methods[..]));
    let matcher = Matcher::new(given).unwrap();
    let asked: Vec<String> =
        paths.iter().map(|path| path.replace("{id}", "a1b2c3d4").replace("**", "x/y")).collect();
    // A step through all of them that visits them out of order.
    let mut turn = 0;
    bencher.bench_local(|| {
        turn = (turn + 7_919) % routes;
        matcher.find(black_box(&methods[turn][0]), black_box(&asked[turn]))
    });
}

#[divan::bench(args = [9, 200])]
fn check_scopes_in_a_catalogue_of(bencher: Bencher, scopes: usize) {
    let names: Vec<String> = (0..scopes).map(|n| format!("scope{n}:read")).collect();
    let entries: BTreeMap<_, _> =
        names.iter().map(|name| (name.clone(), ScopeEntry::default())).collect();
    let catalogue = Catalogue::new(entries);
    let granted = catalogue.granted(&names[..scopes / 2]);
    let required = catalogue.required(&names[..2]);
    bencher.bench_local(|| black_box(&granted).contains_all(black_box(&required)));
}

/// A key's two windows and one of the route, a request each two milliseconds; none is refused.
#[divan::bench]
fn step_three_windows(bencher: Bencher) {
    let limits = |texts: [&str; 2]| texts.map(|text| text.parse::<Limit>().unwrap());
    let own = limits(["1000000/min", "10000000/hour"]);
    let of_route = [own[0]];
    let route = Some((RouteId::of(["/v1/agents"]), &of_route[..]));
    let counters = KeyCounters::default();
    let mut now_ms = 0;
    bencher.bench_local(|| {
        now_ms += 2;
        counters.take(black_box(&own), route, now_ms)
    });
}

#[divan::bench]
fn refuse_at_a_window(bencher: Bencher) {
    let own = ["60/min".parse::<Limit>().unwrap()];
    let counters = KeyCounters::default();
    (0..60).for_each(|turn| assert!(counters.take(&own, None, turn * 900).is_ok()));
    bencher.bench_local(|| counters.take(black_box(&own), None, 54_000).is_err());
}

/// What is kept of a refused request: a masked copy of its target, and its place in a full ring.
#[divan::bench(args = ["/v1/agents/a1b2c3d4/runs", "/v1/agents?name=caf%c3%a9&limit=50"])]
fn keep_a_refusal(bencher: Bencher, target: &str) {
    const KEPT: usize = 1_000;
    let loaded_config = config::parse("", "k.toml".as_ref(), &config::Environment::default());
    let plan = Plan::new(Arc::new(loaded_config.unwrap().config), 1).unwrap();
    let secret = format().mint(Environment::Live).unwrap().unwrap().id;
    let now = Moment { monotonic_ms: 0, wall_ms: 0 };
    let table = KeyTable::holding([loaded(secret)], &plan.policy, now);
    let key = Arc::clone(&table.secret(secret).unwrap().key);
    let (ground, refusals) = (Arc::new(Ground::of(&plan)), Refusals::of(1));
    let (uri, format): (Uri, _) = (target.parse().unwrap(), &plan.config.keys.format);
    let refuse = || {
        let record = Arc::clone(&key.record(&plan.policy));
        let noted = Noted {
            request_id: masked(black_box("4bf92f3577b34da6a3ce929d0e0e4736"), format).into(),
            at_ms: 0,
            client: [192, 0, 2, 1].into(),
            method: Some(kept_method(black_box(&Method::GET), format)),
            target: Some(kept_target(black_box(&uri), format)),
            ground: Arc::clone(&ground),
            route: None,
            rights: Some(key.rights(record, &plan.policy)),
            journaled: true,
            admitted: false,
            standing: None,
            held: None,
            refusal: Reason::RateLimited.into(),
        };
        refusals.note(0, noted, KEPT);
    };
    (0..KEPT).for_each(|_| refuse());
    bencher.bench_local(refuse);
}

/// An answered request written down: a place taken, a record of 192 bytes made and put into the mapped
/// file. In one large segment, since no other thread makes them as fast as records are written here.
#[divan::bench(sample_count = 500, sample_size = 1_000)]
fn write_to_the_usage_journal(bencher: Bencher) {
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
    bencher.bench_local(|| {
        let line = black_box(&line);
        writer.reserve(line.key, line.owner).map(|place| place.fill(line)).is_some()
    });
    assert_eq!(journal.totals().refused, 0);
}

/// What a budget costs a request: which terms bind its key, its cost set aside from the lease, and
/// settled. The lease never runs out here, so that the store is asked once.
#[divan::bench]
fn set_aside_and_settle(bencher: Bencher) {
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
    let table = KeyTable::holding([key], &policy(), Moment { monotonic_ms: 0, wall_ms: 0 });
    let secret = table.secret(id).unwrap();
    let record = secret.key.record(&policy());
    let reserve = |cost| {
        let terms = secret.key.terms(&record).unwrap();
        spender.reserve(&secret.key.purse, cost, terms, now)
    };
    runtime.block_on(reserve(1)).unwrap().settle(1);
    bencher.bench_local(|| {
        let paid = reserve(black_box(0)).now_or_never().expect("the lease has enough");
        paid.expect("it is paid").settle(black_box(0))
    });
}
