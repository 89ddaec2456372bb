//! Upstreams behind TLS.

use std::fmt::Write as _;
use std::fs;

use http::Version;

use super::OPEN;
use crate::support::modern::{ModernOrigin, Speaks};
use crate::support::tls::Authority;
use crate::support::{TestGateway, TestStore};

const BOTH: &[&str] = &["h2", "http/1.1"];

/// A gateway to a target with TLS, whose settings name these files of an authority.
fn gateway(
    origin: &ModernOrigin,
    host: &str,
    authority: &Authority,
    files: &[(&str, &str)],
    more: &str,
) -> TestGateway {
    let mut settings = String::new();
    for (setting, file) in files {
        let file = authority.file(file);
        writeln!(settings, "{setting} = \"{}\"", file.display()).expect("a string takes it");
    }
    let port = origin.address().port();
    TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config(&format!(
            "[upstreams.api]\ntargets = [\"https://{host}:{port}\"]\n\
             [upstreams.api.tls]\n{settings}{more}"
        ))
        .start()
}

const CA: (&str, &str) = ("ca", "ca.pem");

#[test]
fn a_target_with_tls_chooses_what_is_spoken() {
    let authority = Authority::new("targets");
    let protocols: [(&[&str], Version); 3] =
        [(BOTH, Version::HTTP_2), (&["http/1.1"], Version::HTTP_11), (&[], Version::HTTP_11)];
    for (protocols, version) in protocols {
        let identity = authority.certificate(&["localhost"]);
        let origin = ModernOrigin::start(Speaks::Tls(identity, protocols, None));
        let gateway = gateway(&origin, "localhost", &authority, &[CA], "");
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
    let (authority, stranger) = (Authority::new("targets"), Authority::new("stranger"));
    let refused = |issued: (String, String), files: &[(&str, &str)]| {
        let origin = ModernOrigin::start(Speaks::Tls(issued, BOTH, None));
        let gateway = gateway(&origin, "localhost", &authority, files, "");
        let key = gateway.key("--name a");
        let answer = gateway.curl("/a").bearer(&key).send();
        answer.is_refusal(502, "bad_gateway", "Upstream unavailable");
        assert_eq!(origin.received().len(), 0);
    };
    refused(authority.certificate(&["elsewhere.example"]), &[CA]);
    refused(stranger.certificate(&["localhost"]), &[CA]);
    // The system's authorities do not know ours.
    refused(authority.certificate(&["localhost"]), &[]);
}

#[test]
fn what_the_certificate_must_be_for_can_be_said() {
    let authority = Authority::new("targets");
    let identity = authority.certificate(&["api.internal"]);
    let origin = ModernOrigin::start(Speaks::Tls(identity, BOTH, None));
    let name = "server_name = \"api.internal\"";
    let gateway = gateway(&origin, "127.0.0.1", &authority, &[CA], name);
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
}

#[test]
fn a_target_that_asks_who_we_are_is_shown_our_certificate() {
    let authority = Authority::new("both");
    authority.issue("own", &["keygate"]);
    let identity = authority.certificate(&["localhost"]);
    let clients = Some(authority.pem().to_owned());
    let origin = ModernOrigin::start(Speaks::Tls(identity, BOTH, clients));
    let nameless = gateway(&origin, "localhost", &authority, &[CA], "");
    let key = nameless.key("--name a");
    assert_eq!(nameless.curl("/a").bearer(&key).send().status, 502);
    let files = [CA, ("cert", "own.pem"), ("key", "own.key")];
    let gateway = gateway(&origin, "localhost", &authority, &files, "");
    let key = gateway.key("--name a");
    assert_eq!(gateway.curl("/a").bearer(&key).send().status, 200);
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_place_and_nothing_starts() {
    let authority = Authority::new("targets");
    fs::write(authority.file("empty.pem"), "").expect("the file can be written");
    let (installation, _store) = TestGateway::with(TestStore::sqlite())
        .config(OPEN)
        .config(&format!(
            "[upstreams.api]\ntargets = [\"https://a\"]\ntls = {{ ca = \"{}\" }}",
            authority.file("empty.pem").display()
        ))
        .install();
    for command in [["config", "check"].as_slice(), &["serve"]] {
        let printed = installation.try_run(command);
        assert_eq!(printed.code, 2, "{}", printed.err);
        assert!(printed.err.contains("empty.pem holds no certificate"), "{}", printed.err);
    }
    assert_eq!(
        installation.try_run(&["owner", "list"]).code,
        0,
        "who does not serve needs no file"
    );
}
