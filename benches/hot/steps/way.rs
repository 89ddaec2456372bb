//! Which way a request goes, and what is left of one that goes none.

use std::hint::black_box;
use std::sync::Arc;

use http::header::{ACCEPT, AUTHORIZATION, HOST, HeaderMap, HeaderValue, USER_AGENT};
use http::{Method, Uri};
use keygate::auth::table::{KeyEntry, KeyTable};
use keygate::config;
use keygate::domain::{Environment, Reason};
use keygate::proxy::authorize::Holder;
use keygate::proxy::client_address::Sender;
use keygate::proxy::connection::Connection;
use keygate::proxy::explain::Ground;
use keygate::proxy::headers::{Outbound, Trace, to_upstream};
use keygate::proxy::matcher::{Match, Matcher};
use keygate::proxy::path::canonical;
use keygate::proxy::plan::Plan;
use keygate::proxy::refusals::{Noted, Refusals, kept_method, kept_target};
use keygate::telemetry::access::masked;

use super::{NOW, format, loaded};

/// A path that is written as it is meant, or one that is not.
pub fn canonical_path(path: &'static str) -> impl FnMut() -> Option<usize> {
    move || canonical(black_box(path)).map(|path| path.len()).ok()
}

/// A fifth of the routes each: literal, with a name, below a name, a whole subtree, another method.
pub fn match_a_route(routes: usize) -> impl FnMut() -> Match {
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
    move || {
        turn = (turn + 7_919) % routes;
        matcher.find(black_box(&methods[turn][0]), black_box(&asked[turn]))
    }
}

/// A copy of a client's headers made into the upstream's: the key taken out, the identity put in.
pub fn headers_to_upstream() -> impl FnMut() -> usize {
    let plan = plan(
        "[scopes]\n\"a:read\" = \"\"\n\
         [upstreams.api]\ntargets = [\"http://127.0.0.1:9\"]\n\
         [[routes]]\npath = \"/**\"\nscopes = [\"a:read\"]\nupstream = \"api\"\n",
    );
    let key = key(&plan);
    let record = Arc::clone(&key.record(&plan.policy));
    let holder = Holder { rights: key.rights(record, &plan.policy) };
    let client = [192, 0, 2, 1].into();
    let connection = Connection::new(client, 0);
    let credential = HeaderValue::from_str(&format!("Bearer {}", super::secret())).unwrap();
    let given = HeaderMap::from_iter([
        (HOST, HeaderValue::from_static("api.example.com")),
        (USER_AGENT, HeaderValue::from_static("client/1.0")),
        (ACCEPT, HeaderValue::from_static("application/json")),
        (AUTHORIZATION, credential),
    ]);
    let trace = Trace::new(&given, false, [0xab; 24]);
    move || {
        let mut headers = black_box(&given).clone();
        let outbound = Outbound {
            plan: &plan,
            route: &plan.router.routes()[0],
            connection: &connection,
            sender: Sender { address: client, believed: false },
            holder: Some(&holder),
            held_in: 1,
            trace: &trace,
            authority: None,
        };
        to_upstream(&mut headers, &outbound);
        headers.len()
    }
}

/// What is kept of a refused request: a masked copy of its target, and its place in a full ring.
pub fn keep_a_refusal(target: &'static str) -> impl FnMut() {
    const KEPT: usize = 1_000;
    let plan = plan("");
    let key = key(&plan);
    let (ground, refusals) = (Arc::new(Ground::of(&plan)), Refusals::of(1));
    let uri: Uri = target.parse().unwrap();
    let refuse = move || {
        let format = &plan.config.keys.format;
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
    refuse
}

fn plan(toml: &str) -> Plan {
    let loaded = config::parse(toml, "k.toml".as_ref(), &config::Environment::default());
    Plan::new(Arc::new(loaded.unwrap().config), 1).unwrap()
}

fn key(plan: &Plan) -> Arc<KeyEntry> {
    let secret = format().mint(Environment::Live).unwrap().unwrap().id;
    let table = KeyTable::holding([loaded(secret)], &plan.policy, NOW);
    Arc::clone(&table.secret(secret).unwrap().key)
}
