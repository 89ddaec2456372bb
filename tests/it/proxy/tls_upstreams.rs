//! Upstreams behind TLS.

use http::Version;
use tempfile::TempDir;

use super::OPEN;
use crate::support::modern::{Authority, Identity, ModernOrigin, Speaks};
use crate::support::{TestGateway, TestStore};

const DIR: &str = "a directory can be made";
const BOTH: &[&str] = &["h2", "http/1.1"];

/// A gateway to a target with TLS, whose settings name files in `dir` of these contents.
fn gateway(
    dir: &TempDir,
    origin: &ModernOrigin,
    host: &str,
    files: &[(&str, &str)],
    more: &str,
) -> TestGateway {
    let setting = |(name, pem): &(&str, &str)| {
        let path = dir.path().join(name);
        std::fs::write(&path, pem).expect("the file can be written");
        format!("{name} = \"{}\"\n", path.display())
    };
    let files: String = files.iter().map(setting).collect();
    let port = origin.address().port();
    TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config(&format!(
            "[upstreams.api]\ntargets = [\"https://{host}:{port}\"]\n\
             [upstreams.api.tls]\n{files}{more}"
        ))
        .start()
}

#[test]
fn a_target_with_tls_chooses_what_is_spoken() {
    let (dir, authority) = (TempDir::new().expect(DIR), Authority::new());
    for (protocols, version) in
        [(BOTH, Version::HTTP_2), (&["http/1.1"], Version::HTTP_11), (&[], Version::HTTP_11)]
    {
        let identity = authority.issue("localhost");
        let origin = ModernOrigin::start(Speaks::Tls(identity, protocols, None));
        let gateway = gateway(&dir, &origin, "localhost", &[("ca", &authority.pem())], "");
        let key = gateway.key("--name a");
        for _ in 0..3 {
            let answer = gateway.curl("/a").method("POST").body("hello").bearer(&key).send();
            assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        }
        assert_eq!(origin.last().version(), version, "{protocols:?}");
    }
}

#[test]
fn a_certificate_that_is_not_the_targets_is_502() {
    let dir = TempDir::new().expect(DIR);
    let (authority, stranger) = (Authority::new(), Authority::new());
    let tls = |issued: Identity| ModernOrigin::start(Speaks::Tls(issued, BOTH, None));
    let refused = |origin: &ModernOrigin, files: &[(&str, &str)]| {
        let gateway = gateway(&dir, origin, "localhost", files, "");
        let key = gateway.key("--name a");
        let answer = gateway.curl("/a").bearer(&key).send();
        answer.is_refusal(502, "bad_gateway", "Upstream unavailable");
        assert_eq!(origin.received().len(), 0);
    };
    let ca = authority.pem();
    refused(&tls(authority.issue("elsewhere.example")), &[("ca", &ca)]);
    refused(&tls(stranger.issue("localhost")), &[("ca", &ca)]);
    // The system's authorities do not know ours.
    refused(&tls(authority.issue("localhost")), &[]);
}

#[test]
fn what_the_certificate_must_be_for_can_be_said() {
    let (dir, authority) = (TempDir::new().expect(DIR), Authority::new());
    let identity = authority.issue("api.internal");
    let origin = ModernOrigin::start(Speaks::Tls(identity, BOTH, None));
    let ca = authority.pem();
    let gateway =
        gateway(&dir, &origin, "127.0.0.1", &[("ca", &ca)], "server_name = \"api.internal\"");
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
}

#[test]
fn a_target_that_asks_who_we_are_is_shown_our_certificate() {
    let dir = TempDir::new().expect(DIR);
    let (authority, clients) = (Authority::new(), Authority::new());
    let own = clients.issue("keygate");
    let identity = authority.issue("localhost");
    let origin = ModernOrigin::start(Speaks::Tls(identity, BOTH, Some(Box::new(clients))));
    let ca = authority.pem();
    let nameless = gateway(&dir, &origin, "localhost", &[("ca", &ca)], "");
    let key = nameless.key("--name a");
    assert_eq!(nameless.curl("/a").bearer(&key).send().status, 502);
    let files = [("ca", ca.as_str()), ("cert", &own.cert), ("key", &own.key)];
    let gateway = gateway(&dir, &origin, "localhost", &files, "");
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
}
