//! Where Redis may be: behind a password, TLS, a socket, in a cluster.

use super::{ROUTES, redis_is};
use crate::support::installation::Setup;
use crate::support::tls::Authority;
use crate::support::{Origin, Redis, TestGateway, TestStore, leaks, until};

const PASSWORD: &str = "publicidJ7fK2mQ9xW4tZ8bN3c";

fn setup(origin: &Origin, url: &str) -> Setup {
    TestGateway::with(TestStore::sqlite())
        .config(ROUTES)
        .config(&format!("[cluster]\nredis = \"{url}\""))
        .upstream("api", origin)
}

/// Limits are shared, and counted there.
fn shares(gateway: &TestGateway) {
    until("Redis is in reach", || redis_is(gateway) == "up");
    let key = gateway.key("--name a --limit 60/min");
    for left in ["59", "58", "57"] {
        gateway.curl("/a").bearer(&key).send().says("x-ratelimit-remaining", left);
    }
    assert!(gateway.metrics().total("keygate_redis_calls_total") >= 3);
    assert_eq!(gateway.metrics().total("keygate_redis_up"), 1);
}

#[test]
fn without_redis_nothing_is_said_to_be_away() {
    let origin = Origin::start();
    let setup = TestGateway::with(TestStore::sqlite()).config(ROUTES).upstream("api", &origin);
    let gateway = setup.start();
    assert_eq!(redis_is(&gateway), "off");
    assert_eq!(gateway.metrics().total("keygate_redis_calls_total"), 0);
}

#[test]
fn a_password_opens_it_and_is_shown_nowhere() {
    let origin = Origin::start();
    let Some(redis) = Redis::with(&["--requirepass", PASSWORD]) else { return };
    leaks::note(PASSWORD);
    let url = |password: &str| format!("redis://:{password}@{}", redis.address());
    let gateway = setup(&origin, &url(PASSWORD)).start();
    shares(&gateway);
    let shown = gateway.installation().run(&["config", "show"]);
    assert!(shown.contains(&format!("redis://:***@{}", redis.address())), "{shown}");

    let refused = setup(&origin, &url("wrong")).start();
    assert_eq!(redis_is(&refused), "down");
    refused.wait_for_log("Redis is away");
    refused.wait_for_log("Password authentication failed");
}

#[test]
fn a_user_needs_no_more_than_is_documented() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    let rights = "on >pass ~keygate:* +evalsha +script|load +time +get +set";
    let user: Vec<&str> = ["ACL", "SETUSER", "me"].into_iter().chain(rights.split(' ')).collect();
    assert_eq!(redis.ask(&user), "OK");
    shares(&setup(&origin, &format!("redis://me:pass@{}", redis.address())).start());
}

#[test]
fn over_tls_its_certificate_is_checked_by_the_authority_that_is_named() {
    let origin = Origin::start();
    let authority = Authority::new("of Redis");
    authority.issue("redis", &["localhost", "127.0.0.1"]);
    let Some(redis) = Redis::over_tls(&authority, "redis") else { return };
    let url = format!("rediss://localhost:{}/1", redis.address().port());
    let ca = format!("[cluster]\nredis_ca = \"{}\"", authority.file("ca.pem").display());
    shares(&setup(&origin, &url).config(&ca).start());

    let other = Authority::new("of somebody else");
    let ca = format!("[cluster]\nredis_ca = \"{}\"", other.file("ca.pem").display());
    let refused = setup(&origin, &url).config(&ca).start();
    assert_eq!(redis_is(&refused), "down");
    refused.wait_for_log("invalid peer certificate");
}

#[test]
fn a_socket_will_do() {
    let origin = Origin::start();
    let Some(redis) = Redis::start() else { return };
    shares(&setup(&origin, &format!("unix://{}", redis.socket().display())).start());
}

#[test]
fn in_a_cluster_each_key_is_counted_on_its_own_node() {
    let origin = Origin::start();
    let Some(nodes) = cluster() else { return };
    let hosts: Vec<String> = nodes.iter().map(|node| node.address().to_string()).collect();
    let gateway = setup(&origin, &format!("redis+cluster://{}", hosts.join(","))).start();
    until("Redis is in reach", || redis_is(&gateway) == "up");
    // So many that each node has some.
    for _ in 0..12 {
        shares(&gateway);
    }
    for node in &nodes {
        let keys = node.ask(&["DBSIZE"]).parse::<u32>().expect("a number");
        assert!(keys > 0, "a node has nothing");
    }
}

/// Two nodes with half of the slots each.
fn cluster() -> Option<Vec<Redis>> {
    let mut nodes = Vec::new();
    for _ in 0..2 {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let bus = port.local_addr().expect("it has an address").port().to_string();
        drop(port);
        let options = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--save", ""];
        nodes.push((Redis::with(&options)?, bus));
    }
    for ((node, _), slots) in nodes.iter().zip([["0", "8191"], ["8192", "16383"]]) {
        assert_eq!(node.ask(&["CLUSTER", "ADDSLOTSRANGE", slots[0], slots[1]]), "OK");
    }
    let (other, bus) = &nodes[1];
    let port = other.address().port().to_string();
    assert_eq!(nodes[0].0.ask(&["CLUSTER", "MEET", "127.0.0.1", &port, bus]), "OK");
    for (node, _) in &nodes {
        until("the cluster stands", || {
            let info = node.ask(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2")
        });
    }
    Some(nodes.into_iter().map(|(node, _)| node).collect())
}
