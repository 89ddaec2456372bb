//! A gateway as it stands after a few months: owners, keys of every kind, a month of usage, refusals,
//! webhooks that fail, an upstream that is down.

use jiff::{SignedDuration, Timestamp};
use keygate::domain::{
    Act, Actor, AdminTokenId, Clock, Environment, Key, KeyId, LastUse, Millionths, Owner, OwnerId,
};
use keygate::key::SecretText;
use keygate::store::deliveries::Replay;
use keygate::store::{KeyPatch, Store};

use crate::support::admin::AdminToken;
use crate::support::bulk::{WEAK, make, open};
use crate::support::{MintedKey, Origin, TestGateway, TestStore, block_on};

/// What the API in front of which it stands is called by.
const CONFIG: &str = r#"
[server]
workers = 1
[limits]
per_key = ["600/min", "20000/hour"]
[scopes]
"agents:read" = "Read agents and their runs"
"agents:write" = "Create and change agents"
"agents:execute" = "Start runs of agents"
"billing:read" = "Read invoices and usage"
"workspace:admin" = { description = "Everything in a workspace", implies = ["agents:*", "billing:read"] }
[permissions]
read-only = ["agents:read", "billing:read"]
operator = ["agents:*"]
[self_service]
enabled = true
prefix = "/keys/v1"
[webhooks]
allow_private_networks = true
[[routes]]
path = "/v1/agents"
methods = ["GET"]
scopes = ["agents:read"]
upstream = "api"
[[routes]]
path = "/v1/agents"
methods = ["POST"]
scopes = ["agents:write"]
upstream = "api"
[[routes]]
path = "/v1/agents/{id}/runs"
methods = ["POST"]
scopes = ["agents:execute"]
upstream = "api"
cost = "0.002"
limits = ["5/min"]
[[routes]]
path = "/v1/invoices/**"
methods = ["GET"]
any_scope = ["billing:read", "workspace:admin"]
upstream = "billing"
allow_test_keys = false
[[routes]]
path = "/v1/status"
public = true
upstream = "api"
[[routes]]
path = "/v1/{kind}/search"
upstream = "api"
"#;
/// Names of owners, and what they have in credits.
const OWNERS: [(&str, Option<&str>); 5] = [
    ("Northwind Research", Some("412.50")),
    ("Blue Harbor Labs", Some("3.20")),
    ("Fjord Weather", None),
    ("Umbra Analytics", None),
    ("Old Mill Press", None),
];
/// What keys are for, and where.
const PURPOSES: [&str; 8] = [
    "checkout agent",
    "nightly report",
    "support bot",
    "price watcher",
    "ci deploy",
    "data export",
    "mobile app",
    "search indexer",
];
const PLACES: [&str; 5] = ["production", "staging", "eu-west", "batch", "laptop"];
/// Adds a month of usage to the books: more on working days, more of some keys than of others.
const USAGE: &str = "WITH RECURSIVE day (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM day WHERE n < 29), \
     what (route, status, part) AS (VALUES ('/v1/agents', 200, 60), \
     ('/v1/agents/{id}/runs', 200, 30), ('/v1/agents/{id}/runs', 500, 1), ('/v1/agents', 404, 4)) \
     INSERT INTO usage_hours (period, key_id, owner_id, route, status, requests, cost) \
     SELECT (unixepoch() / 86400 - day.n) * 86400000, k.id, k.owner_id, what.route, what.status, \
     what.part * (3 + (k.place * 7 + day.n * day.n) % 11) \
     / (CASE WHEN (unixepoch() / 86400 - day.n + 3) % 7 > 4 THEN 4 ELSE 1 END) AS requests, \
     CASE WHEN what.route LIKE '%runs' THEN 2000 * what.part * (3 + (k.place + day.n) % 11) ELSE 0 END \
     FROM day, what, (SELECT id, owner_id, row_number() OVER (ORDER BY id) AS place FROM keys) AS k \
     WHERE k.place % 3 > 0";
/// What keys with a budget have spent of it this month.
const SPENT: &str = "INSERT INTO spending (key_id, month, spent) \
     SELECT id, CAST(strftime('%Y', 'now') AS INTEGER) * 12 + CAST(strftime('%m', 'now') AS INTEGER) - 1, \
     monthly_budget * (15 + row_number() OVER (ORDER BY id) * 17 % 84) / 100 \
     FROM keys WHERE monthly_budget > 0";

/// A gateway with everything in it.
pub(super) struct Filled {
    pub(super) gateway: TestGateway,
    pub(super) admin: AdminToken,
    pub(super) viewer: AdminToken,
    /// A key that is much used.
    pub(super) key: MintedKey,
    /// An owner with credits.
    pub(super) owner: String,
    /// A request that was refused for a scope.
    pub(super) refused: String,
    _api: Origin,
    _deaf: Origin,
}

impl Filled {
    /// Starts it, and fills it.
    pub(super) fn start() -> Self {
        let api = Origin::start();
        let deaf = Origin::scripted(|call| {
            call.read_body()?;
            call.answer(500, &[], b"")
        });
        let gateway = TestGateway::with(TestStore::sqlite())
            .config(CONFIG)
            .config(&endpoints(&deaf))
            .upstream("api", &api)
            .config("[upstreams.billing]\ntargets = [\"http://127.0.0.1:9\"]\nhealth = { path = \"/healthz\", interval = \"1s\" }")
            .start();
        let admin = gateway.admin_token("--name maria");
        let viewer = gateway.admin_token("--name dashboard-tv --role viewer --expires 90d");
        let (key, owner) = block_on(fill(&gateway));
        gateway.store().sql(USAGE);
        gateway.store().sql(SPENT);
        let refused = refuse(&gateway, &key);
        Self { gateway, admin, viewer, key, owner, refused, _api: api, _deaf: deaf }
    }

    /// Every page of who is signed in: its name, and its path.
    pub(super) fn pages(&self) -> Vec<(&'static str, String)> {
        vec![
            ("overview", "/".to_owned()),
            ("keys", "/keys".to_owned()),
            ("key-new", "/keys/new".to_owned()),
            ("key", format!("/keys/{}", self.key.id())),
            ("key-edit", format!("/keys/{}/edit", self.key.id())),
            ("key-rotate", format!("/keys/{}/rotate", self.key.id())),
            ("key-revoke", format!("/keys/{}/revoke", self.key.id())),
            ("owners", "/owners".to_owned()),
            ("owner", format!("/owners/{}", self.owner)),
            ("routes", "/routes".to_owned()),
            ("refusals", "/refusals?live=off".to_owned()),
            ("refusal", format!("/refusals/{}", self.refused)),
            ("webhooks", "/webhooks".to_owned()),
            ("audit", "/audit".to_owned()),
            ("settings", "/settings".to_owned()),
        ]
    }
}

fn endpoints(deaf: &Origin) -> String {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    format!(
        "[[webhooks.endpoints]]\nurl = \"http://{}/keygate?team=ops\"\n\
         events = [\"key.*\", \"credits.low\"]\nsecret = \"{secret}\"\n",
        deaf.address()
    )
}

/// Owners and keys, made over the last months by people and by themselves.
async fn fill(gateway: &TestGateway) -> (MintedKey, String) {
    let store = open(gateway.store()).await;
    let store = &*store;
    let newest = keygate::store::PageRequest { after: None, limit: 10 };
    let tokens = store.tokens(&newest).await.expect("tokens can be listed").rows;
    let maria = tokens.iter().find(|token| token.name == "maria").expect("it was made");
    let by_maria = |at| Act {
        actor: Actor::Token(AdminTokenId::from_text(maria.id.as_str())),
        address: Some("203.0.113.24".parse().expect("an address")),
        at,
    };
    let mut owners = Vec::new();
    for (place, (name, credits)) in (0..).zip(OWNERS) {
        let at = ago(150 - 10 * place);
        let owner = Owner::new(OwnerId::mint(), name.to_owned(), at);
        store.create_owner(&by_maria(at), &owner).await.expect("an owner is written");
        if let Some(amount) = credits {
            let amount: Millionths = amount.parse().expect("an amount");
            let (act, reason) = (by_maria(ago(20)), "invoice 2026-118");
            let added = store.add_credits(&act, &owner.id, amount, reason).await;
            added.expect("credits are written");
        }
        owners.push(owner.id);
    }
    let mut keys = Vec::new();
    for place in 0..PURPOSES.len() * PLACES.len() {
        keys.push(write_key(store, place, &owners, &by_maria).await);
    }
    change(store, &keys, &by_maria).await;
    store.set_owner_disabled(&by_maria(ago(3)), &owners[4], true).await.expect("it is written");
    let (id, text) = &keys[1];
    (MintedKey::known(id.as_str(), text.expose()), owners[0].to_string())
}

async fn write_key(
    store: &dyn Store,
    place: usize,
    owners: &[OwnerId],
    act: &impl Fn(Timestamp) -> Act,
) -> (KeyId, SecretText) {
    let made = ago(119 - 2 * number(place));
    let alter = |place: usize, key: &mut Key| {
        key.name = format!("{} {}", PURPOSES[place % PURPOSES.len()], PLACES[place % PLACES.len()]);
        key.owner_id = owners[place % owners.len()].clone();
        key.created_at = made;
        key.scopes = scopes(place);
        if place % 9 == 4 {
            key.environment = Environment::Test;
        }
        if place.is_multiple_of(4) {
            key.monthly_budget = Millionths::new(50_000_000);
        }
        if place.is_multiple_of(5) {
            key.expires_at = Some(ago(-4 - number(place)));
        }
        if place == 7 {
            key.allowed_ips = vec!["198.51.100.0/24".parse().expect("a range")];
        }
        if place == 1 {
            key.limits = vec!["120/min".parse().expect("a limit")];
            key.metadata.insert("team".to_owned(), "growth".to_owned());
        }
    };
    let (key, mut secret, text) = make(place, WEAK, &alter);
    secret.created_at = made;
    store.create_key(&act(made), &key, &secret).await.expect("a key is written");
    if !place.is_multiple_of(3) {
        let at = ago(0) - SignedDuration::from_mins(3 + 97 * number(place));
        let from = Some("198.51.100.17".parse().expect("an address"));
        let used = [LastUse { secret: secret.id, at, from }];
        store.record_last_use(&used).await.expect("a use is written");
    }
    (key.id, text)
}

fn scopes(place: usize) -> Vec<String> {
    let scopes: &[&str] = match place % 4 {
        0 => &["agents:read"],
        1 => &["agents:read", "agents:execute"],
        2 => &["agents:*"],
        _ => &["workspace:admin"],
    };
    scopes.iter().map(|&scope| scope.to_owned()).collect()
}

/// What happens to keys in their life.
async fn change(store: &dyn Store, keys: &[(KeyId, SecretText)], act: &impl Fn(Timestamp) -> Act) {
    let by_hand = Act { actor: Actor::Command("jo".into()), address: None, at: ago(2) };
    let patch = KeyPatch {
        scopes: Some(vec!["agents:read".to_owned(), "agents:execute".to_owned()]),
        monthly_budget: Some(Millionths::new(80_000_000)),
        metadata: [("team".to_owned(), Some("platform".to_owned()))].into(),
        ..KeyPatch::default()
    };
    store.update_key(&act(ago(4)), &keys[1].0, &patch).await.expect("it is written");
    store.set_key_disabled(&by_hand, &keys[10].0, true).await.expect("it is written");
    for (place, reason) in [(12, "leaked in a log"), (23, "replaced by a child")] {
        let at = ago(1);
        store.revoke_key(&act(at), &keys[place].0, Some(reason), at).await.expect("it is written");
    }
    let (_, mut secret, _) = make(1, WEAK, &|_, _| {});
    let (now, ends) = (ago(0), ago(-6));
    secret.created_at = now;
    let rotated = store.rotate_key(&act(now), &keys[1].0, &secret, ends, false, now).await;
    rotated.expect("it is written");
    let sent = store.replay(&act(now), &Replay::Failed(1)).await.expect("it is written");
    assert!(sent.is_empty(), "nothing has failed yet");
}

/// Requests that are let through, and one that is refused for each reason that there is.
fn refuse(gateway: &TestGateway, key: &MintedKey) -> String {
    for _ in 0..20 {
        assert_eq!(gateway.curl("/v1/agents").bearer(key).send().status, 200);
    }
    let no_scope = gateway.curl("/v1/invoices/2026-11").bearer(key).send();
    assert_eq!(no_scope.status, 403);
    for (path, method) in [
        ("/v1/agents", "GET"),
        ("/v1/nothing", "GET"),
        ("/v1/agents/..%2fadmin", "GET"),
        ("/v1/status", "TRACE"),
    ] {
        gateway.curl(path).method(method).send();
    }
    let unknown = MintedKey::known("key_0", "sk_live_AAAAAAAAthisisnotakeyatallreally");
    gateway.curl("/v1/agents").bearer(&unknown).send();
    for _ in 0..7 {
        gateway.curl("/v1/agents/agt_81/runs").method("POST").bearer(key).send();
    }
    no_scope.header("x-request-id").expect("every answer has one").to_owned()
}

/// So many days ago.
fn ago(days: i64) -> Timestamp {
    Clock::system().now() - SignedDuration::from_hours(24 * days)
}

fn number(place: usize) -> i64 {
    i64::try_from(place).expect("there are few")
}
