//! TLS on the data plane: certificates by name, renewed without a failed request, and of clients.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;
use rustls::{HandshakeKind, NamedGroup, ProtocolVersion};

use super::setup;
use crate::support::tls::{Authority, TlsWire, client, replace};
use crate::support::{MintedKey, Origin, TestGateway, TestStore, until, wire};

fn request(key: &MintedKey) -> String {
    format!("GET /a HTTP/1.1\r\nHost: api.example\r\nX-API-Key: {}\r\n\r\n", key.secret())
}

#[test]
fn clients_speak_https_with_both_versions_and_the_upstream_is_told() {
    let (origin, authority) = (Origin::start(), Authority::new("ca"));
    authority.issue("api", &["api.example"]);
    let gateway = setup(&origin).config(&authority.config(&["api"], "")).start();
    let key = gateway.key("--name a");
    for version in [["--tls-max", "1.2"], ["--tlsv1.3", "--http1.1"]] {
        let call = gateway.curl("/a").bearer(&key).args(version);
        let answer = call.https("api.example", &authority.file("ca.pem")).send();
        assert_eq!(answer.status, 200, "{version:?}");
        assert_eq!(origin.last().fields.all("x-forwarded-proto"), ["https"]);
    }
    let old = gateway.curl("/a").args(["--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"]);
    old.https("api.example", &authority.file("ca.pem")).fails();
    let other = gateway.curl("/a").https("other.example", &authority.file("ca.pem"));
    assert!(other.fails().contains("other.example"), "the name is not the certificate's");
    // In clear nothing is answered.
    assert!(!wire::raw(gateway.address(), request(&key)).starts_with(b"HTTP"));
    assert_eq!(origin.count(), 2);
}

#[test]
fn http_2_is_agreed_on_where_both_want_it() {
    let (origin, authority) = (Origin::start(), Authority::new("ca"));
    authority.issue("api", &["api.example"]);
    let gateway = setup(&origin).config(&authority.config(&["api"], "")).start();
    let key = gateway.key("--name a");
    for (wanted, spoken) in [("--http2", "2"), ("--http1.1", "1.1"), ("--no-alpn", "1.1")] {
        let call = gateway.curl("/a").bearer(&key).args([wanted, "-w", " over %{http_version}"]);
        let answer = call.https("api.example", &authority.file("ca.pem")).send();
        assert_eq!(answer.status, 200, "{wanted}");
        assert!(answer.text().ends_with(&format!(" over {spoken}")), "{wanted}");
        assert_eq!(origin.last().fields.all("x-forwarded-proto"), ["https"]);
        assert_eq!(origin.last().fields.all("x-forwarded-for"), ["127.0.0.1"]);
    }
}

#[test]
fn each_host_has_its_certificate() {
    let (origin, authority) = (Origin::start(), Authority::new("ca"));
    authority.issue("a", &["a.example"]);
    authority.issue("b", &["b.example", "*.b.example"]);
    let config = authority.config(&["a", "b"], "");
    let gateway = setup(&origin).config(&config).start();
    let key = gateway.key("--name a");
    for host in ["a.example", "b.example", "deep.b.example"] {
        let answer = gateway.curl("/a").bearer(&key).https(host, &authority.file("ca.pem"));
        assert_eq!(answer.send().status, 200, "{host}");
    }
    let other = gateway.curl("/a").https("c.example", &authority.file("ca.pem")).fails();
    assert!(other.contains("c.example"), "it gets the first, which is not its own: {other}");
}

#[test]
fn key_exchange_is_post_quantum_and_sessions_are_resumed() {
    let (origin, authority) = (Origin::start(), Authority::new("ca"));
    authority.issue("api", &["api.example"]);
    let gateway = setup(&origin).config(&authority.config(&["api"], "")).start();
    let key = gateway.key("--name a");
    let client = client(&authority);
    let mut kinds = Vec::new();
    for _ in 0..2 {
        let mut wire = TlsWire::connect(gateway.address(), "api.example", &client);
        assert_eq!(wire.ask(&request(&key)).status, 200);
        let connection = wire.connection();
        assert_eq!(connection.protocol_version(), Some(ProtocolVersion::TLSv1_3));
        let group = connection.negotiated_key_exchange_group().expect("keys were exchanged");
        assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
        kinds.push(connection.handshake_kind());
    }
    assert_eq!(kinds, [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed)]);
}

#[test]
fn a_client_needs_a_certificate_where_an_authority_of_clients_is_named() {
    let (origin, authority) = (Origin::start(), Authority::new("ca"));
    let (clients, others) = (Authority::new("clients"), Authority::new("others"));
    authority.issue("api", &["api.example"]);
    clients.issue("one", &["one"]);
    others.issue("one", &["one"]);
    let more = format!(", client_ca = \"{}\"", clients.file("ca.pem").display());
    let gateway = setup(&origin).config(&authority.config(&["api"], &more)).start();
    let key = gateway.key("--name a");
    let call = |with: Option<&Authority>| {
        let call = gateway.curl("/a").bearer(&key);
        let call = call.https("api.example", &authority.file("ca.pem"));
        let Some(with) = with else { return call };
        let file = |name| with.file(name).display().to_string();
        call.args(["--cert".to_owned(), file("one.pem"), "--key".to_owned(), file("one.key")])
    };
    assert_eq!(call(Some(&clients)).send().status, 200);
    call(Some(&others)).fails();
    call(None).fails();
    assert_eq!(origin.count(), 1);
    until("both are counted", || {
        gateway.metrics().total("keygate_connections_not_begun_total") == 2
    });
}

#[test]
fn renewed_files_are_for_new_connections_and_no_request_fails() {
    let (origin, old, new) = (Origin::start(), Authority::new("old"), Authority::new("new"));
    old.issue("api", &["api.example"]);
    let gateway = setup(&origin).config(&old.config(&["api"], "")).start();
    let key = gateway.key("--name a");
    let both = old.file("both.pem");
    replace(&both, &format!("{}{}", old.pem(), new.pem()));
    let mut kept = TlsWire::connect(gateway.address(), "api.example", &client(&old));
    assert_eq!(kept.ask(&request(&key)).status, 200);

    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let call = gateway.curl("/a").bearer(&key).https("api.example", &both);
                    assert_eq!(call.send().status, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let more_than =
            |many: usize| until("more calls", || answered.load(Ordering::Relaxed) > many);
        more_than(3);
        let (cert, secret) = new.certificate(&["api.example"]);
        replace(&old.file("api.key"), &secret);
        replace(&old.file("api.pem"), &cert);
        // By itself, within seconds, or by SIGHUP: here by itself.
        gateway.wait_for_log("the certificates were reloaded");
        more_than(answered.load(Ordering::Relaxed) + 3);
        stop.store(true, Ordering::Relaxed);
    });
    let call = gateway.curl("/a").bearer(&key).https("api.example", &new.file("ca.pem"));
    assert_eq!(call.send().status, 200, "the new one is served");
    gateway.curl("/a").https("api.example", &old.file("ca.pem")).fails();
    assert_eq!(kept.ask(&request(&key)).status, 200, "what stood goes on");
}

#[test]
fn bad_files_change_nothing_until_they_are_mended() {
    let (origin, authority) = (Origin::start(), Authority::new("ca"));
    authority.issue("api", &["api.example"]);
    let gateway = setup(&origin).config(&authority.config(&["api"], "")).start();
    let key = gateway.key("--name a");
    let status = || {
        let call = gateway.curl("/a").bearer(&key);
        call.https("api.example", &authority.file("ca.pem")).send().status
    };
    let (_, other_key) = authority.certificate(&["api.example"]);
    replace(&authority.file("api.key"), &other_key);
    gateway.signal(Signal::HUP);
    gateway.wait_for_log("is not that of the certificate in");
    assert_eq!(status(), 200);
    replace(&authority.file("api.pem"), "nonsense");
    gateway.signal(Signal::HUP);
    gateway.wait_for_log("holds no certificate");
    assert_eq!(status(), 200);
    authority.issue("api", &["api.example"]);
    gateway.signal(Signal::HUP);
    gateway.wait_for_log("the certificates were reloaded");
    assert_eq!(status(), 200);
    let metrics = gateway.metrics();
    let reloads = |result| metrics.matching("keygate_certificate_reloads_total", &[result]);
    assert!(reloads("result=\"ok\"") >= 1 && reloads("result=\"failed\"") >= 2);
}

#[test]
fn config_check_reads_the_files_and_other_commands_do_not() {
    let authority = Authority::new("ca");
    authority.issue("a", &["a.example"]);
    let (_, key) = authority.certificate(&["a.example"]);
    replace(&authority.file("a.key"), &key);
    authority.issue("b", &["b.example"]);
    replace(&authority.file("b.pem"), "nonsense");
    let more = ", client_ca = \"missing.pem\"";
    let config = authority.config(&["a", "b"], more);
    let (installation, _store) = TestGateway::with(TestStore::sqlite()).config(&config).install();
    let printed = installation.try_run(&["config", "check"]);
    assert_eq!(printed.code, 2, "{}", printed.err);
    for problem in [
        "a.key is not that of the certificate in",
        "b.pem holds no certificate that can be read",
        "missing.pem cannot be read",
    ] {
        let line = printed.err.lines().find(|line| line.contains(problem));
        let line = line.unwrap_or_else(|| panic!("no {problem:?} in {}", printed.err));
        assert!(line.starts_with("error: ") && line.contains("keygate.toml:"), "{line}");
    }
    assert_eq!(installation.try_run(&["serve"]).code, 2);
    assert_eq!(installation.try_run(&["key", "create", "--name", "a"]).code, 0);
}
