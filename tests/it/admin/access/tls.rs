//! TLS on the admin listener, and what is refused where there is none.

use rustix::process::Signal;

use crate::support::curl::Curl;
use crate::support::tls::{Authority, replace};
use crate::support::{TestGateway, TestStore, wire};

fn tls(authority: &Authority, more: &str) -> String {
    let file = |name| authority.file(name).display().to_string();
    let (cert, key) = (file("admin.pem"), file("admin.key"));
    format!("[admin]\ntls = {{ cert = \"{cert}\", key = \"{key}\"{more} }}")
}

fn call(gateway: &TestGateway, authority: &Authority, path: &str) -> Curl {
    let call = Curl::new(gateway.admin_address(), path);
    call.https("admin.example", &authority.file("ca.pem"))
}

#[test]
fn the_admin_plane_speaks_https_alone_and_its_cookie_never_goes_in_clear() {
    let authority = Authority::new("ca");
    authority.issue("admin", &["admin.example"]);
    let gateway = TestGateway::with(TestStore::sqlite()).config(&tls(&authority, "")).start();
    let at = gateway.admin_address();
    gateway.wait_for_log(&format!("listening on https://{at} (admin)"));
    gateway.wait_for_log(&format!("https://{at}/setup#"));
    let token = gateway.admin_token("--name ops");
    let bearer = format!("Authorization: Bearer {}", token.text());
    let listed = call(&gateway, &authority, "/admin/v1/instances").header(&bearer).send();
    assert_eq!(listed.status, 200, "{}", listed.text());
    let negotiated =
        call(&gateway, &authority, "/healthz").args(["--http2", "-w", "%{http_version}"]);
    assert!(negotiated.send().text().ends_with("1.1"));
    let form = call(&gateway, &authority, "/login").method("POST");
    let form = form.body(&format!("token={}", token.text()));
    let answer = form.header("Sec-Fetch-Site: same-origin").send();
    let cookie = answer.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-keygate_session="), "{cookie}");
    assert!(cookie.contains("; Secure") && cookie.contains("; Path=/;"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    let page = call(&gateway, &authority, "/").header(&format!("Cookie: {cookie}")).send();
    assert_eq!(page.status, 200);
    // What a neighbour in clear may have planted has another name.
    let plain = cookie.replace("__Host-", "");
    let page = call(&gateway, &authority, "/").header(&format!("Cookie: {plain}")).send();
    assert_eq!(page.status, 303);
    let clear = wire::raw(at, "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!clear.starts_with(b"HTTP"), "{clear:?}");
    let health = gateway.installation();
    health.rewrite(&format!("[admin]\nlisten = \"{at}\""));
    assert_eq!(health.run(&["health"]), "ready\n");
}

#[test]
fn changed_certificates_are_taken_up_and_others_put_in_their_place() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    old.issue("admin", &["admin.example"]);
    new.issue("admin", &["admin.example"]);
    let gateway = TestGateway::with(TestStore::sqlite()).config(&tls(&old, "")).start();
    assert_eq!(call(&gateway, &old, "/healthz").send().status, 200);
    call(&gateway, &new, "/healthz").fails();
    let (cert, key) = new.certificate(&["admin.example"]);
    replace(&old.file("admin.key"), &key);
    replace(&old.file("admin.pem"), &cert);
    gateway.wait_for_log("the certificates were reloaded");
    assert_eq!(call(&gateway, &new, "/healthz").send().status, 200);
    call(&gateway, &old, "/healthz").fails();

    // Those of a broken file are refused, and nothing else changes.
    replace(&old.file("admin.pem"), "nonsense");
    gateway.wait_for_log("the certificates were not reloaded");
    assert_eq!(call(&gateway, &new, "/healthz").send().status, 200);

    let third = Authority::new("third");
    third.issue("admin", &["admin.example"]);
    gateway.rewrite(&tls(&third, ""));
    gateway.signal(Signal::HUP);
    gateway.wait_for_log("the configuration was reloaded");
    assert_eq!(call(&gateway, &third, "/healthz").send().status, 200);
}

#[test]
fn a_client_needs_a_certificate_where_an_authority_of_clients_is_named() {
    let (authority, clients) = (Authority::new("ca"), Authority::new("clients"));
    authority.issue("admin", &["admin.example"]);
    clients.issue("one", &["one"]);
    let more = format!(", client_ca = \"{}\"", clients.file("ca.pem").display());
    let gateway = TestGateway::with(TestStore::sqlite()).config(&tls(&authority, &more)).start();
    call(&gateway, &authority, "/healthz").fails();
    let file = |name| clients.file(name).display().to_string();
    let (cert, key) = (file("one.pem"), file("one.key"));
    let known = call(&gateway, &authority, "/healthz").args(["--cert", &cert, "--key", &key]);
    assert_eq!(known.send().status, 200);
    let health = gateway.installation();
    health.rewrite(&format!("[admin]\nlisten = \"{}\"", gateway.admin_address()));
    assert_eq!(health.try_run(&["health"]).code, 1);
    assert_eq!(health.run(&["health", "--cert", &cert, "--key", &key]), "ready\n");
}

#[test]
fn tokens_do_not_come_in_clear_from_other_machines_unless_that_is_said() {
    let (place, _store) = TestGateway::with(TestStore::sqlite()).install();
    place.rewrite("[admin]\nlisten = \"0.0.0.0:0\"");
    let refused = place.try_run(&["config", "check"]);
    assert_eq!(refused.code, 2, "{}", refused.err);
    let (error, hint) = refused.err.split_once('\n').expect("two lines");
    assert!(
        error.contains("keygate.toml:") && error.contains("in clear from other machines"),
        "{error}"
    );
    assert!(hint.contains("`admin.tls`") && hint.contains("allow_plain_http"), "{hint}");
    assert_eq!(place.try_run(&["serve"]).code, 2);
    place.rewrite("[admin]\nallow_plain_http = true");
    assert_eq!(place.try_run(&["config", "check"]).code, 0);
    let authority = Authority::new("ca");
    authority.issue("admin", &["admin.example"]);
    place.rewrite("[admin]\nallow_plain_http = false");
    place.rewrite(&tls(&authority, ""));
    assert_eq!(place.try_run(&["config", "check"]).code, 0);
}
