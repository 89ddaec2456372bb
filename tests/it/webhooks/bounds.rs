//! No endpoint holds another one up, and none leads to where events may not go.

use std::io;

use super::{DUE_NOW, endpoint, gateway, told};
use crate::support::{Origin, TestGateway, TestStore, until};

/// Answers without an end.
fn endless() -> Origin {
    Origin::scripted(|call| {
        call.read_body()?;
        call.begin_answer(200, &[])?;
        loop {
            call.piece(&[b'x'; 16 * 1024])?;
        }
    })
}

/// A head without an end.
fn endless_head() -> Origin {
    Origin::scripted(|call| {
        call.read_body()?;
        call.write(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            call.write(b"x-more: and more\r\n")?;
        }
    })
}

#[test]
fn endpoints_that_hang_or_never_end_hold_up_nobody() {
    let stuck = [Origin::silent(), Origin::silent(), endless(), endless_head()];
    let good = Origin::start();
    let endpoints: Vec<&Origin> = stuck.iter().chain([&good]).collect();
    let gateway = gateway(TestStore::sqlite(), &endpoints);
    let begun = tokio::time::Instant::now();
    for n in 0..10 {
        gateway.key(&format!("--name k{n}"));
    }
    good.wait_for("all of them", |received| received.iter().filter(|r| r.is_whole).count() == 10);
    let took = begun.elapsed();
    // One after the other, two attempts at once each, of which each takes five seconds.
    let rounds = took.as_secs() as usize / 5 + 1;
    for silent in &stuck[..2] {
        assert!(silent.count() <= 2 * rounds, "{} in {took:?}", silent.count());
    }
    let given = || {
        let listed = gateway.run("webhook list --status pending");
        let errors = listed["data"].as_array().unwrap().clone();
        errors.iter().filter(|row| row["last_error"] == "no answer within 5 s").count()
    };
    until("they are given up for now", || given() >= 2);
    assert!(gateway.peak_memory_kib() < 400 * 1024, "{} KiB", gateway.peak_memory_kib());
}

#[test]
fn a_redirect_is_not_followed() {
    let trap = Origin::start();
    let to = format!("http://{}/trap", trap.address());
    let origin = Origin::scripted(move |call| {
        call.read_body()?;
        call.answer(307, &[("location", to.as_str())], b"")
    });
    let gateway = gateway(TestStore::sqlite(), &[&origin]);
    gateway.key("--name a");
    let error = || {
        let listed = gateway.run("webhook list");
        listed["data"][0]["last_error"].as_str().unwrap_or_default().to_owned()
    };
    until("it has failed", || error() == "answered 307 Temporary Redirect");
    gateway.store().sql(DUE_NOW);
    origin.wait_for("the second attempt", |received| received.len() == 2);
    assert_eq!(trap.count(), 0);
}

#[test]
fn nothing_is_sent_to_this_machine_unless_that_is_allowed() -> io::Result<()> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let hosts =
        ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1", "0", "[::1]"];
    let config: String =
        hosts.map(|host| endpoint(&format!("https://{host}:{port}/"), "[\"*\"]")).concat();
    let gateway = TestGateway::with(TestStore::sqlite()).config(&config).start();
    gateway.key("--name a");
    let refused = || {
        let listed = gateway.run("webhook list --status pending");
        let rows = listed["data"].as_array().unwrap().clone();
        rows.iter().filter(|row| row["last_error"].is_string()).count()
    };
    until("all have failed", || refused() == hosts.len());
    assert!(listener.accept().is_err(), "something was connected to");
    Ok(())
}

#[test]
fn an_environment_with_a_proxy_changes_nothing() {
    let (origin, proxy) = (Origin::start(), Origin::start());
    let through = format!("http://{}", proxy.address());
    let config = endpoint(&format!("http://{}/", origin.address()), "[\"*\"]");
    let gateway = TestGateway::with(TestStore::sqlite())
        .config(&format!("[webhooks]\nallow_private_networks = true\n{config}"))
        .variable("http_proxy", &through)
        .variable("HTTP_PROXY", &through)
        .variable("ALL_PROXY", &through)
        .start();
    gateway.key("--name a");
    origin.wait_for("it comes", |received| received.iter().any(|r| r.is_whole));
    assert_eq!((told(&origin).len(), proxy.count()), (1, 0));
}
