//! What every answer tells a browser, whatever became of the request.

use super::visitor::Visitor;
use crate::support::{Answer, TestGateway, TestStore};

#[track_caller]
fn is_protected(answer: &Answer, kept: &str) {
    let policy = answer.header("content-security-policy").unwrap_or_else(|| panic!("{answer:?}"));
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self'"),
        "{policy}"
    );
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    answer
        .says("x-frame-options", "DENY")
        .says("x-content-type-options", "nosniff")
        .says("referrer-policy", "same-origin")
        .says("cross-origin-opener-policy", "same-origin")
        .says("cross-origin-resource-policy", "same-origin")
        .says("cache-control", kept)
        .lacks("access-control-allow-origin");
}

#[test]
fn every_kind_of_answer_can_be_neither_framed_nor_sniffed_nor_kept() {
    let setup = TestGateway::with(TestStore::sqlite());
    let gateway = setup.config("[admin]\nfailed_sign_in_per_ip = \"2/min\"").start();
    let token = gateway.admin_token("--name looker --role viewer");
    let mut visitor = Visitor::signed_in(&gateway, &token);
    let mut stranger = Visitor::of(&gateway);
    let api = "/admin/v1/instances";
    let answers = [
        (200, gateway.admin("/healthz")),
        (200, gateway.admin("/metrics")),
        (200, gateway.admin("/admin/openapi.json")),
        (200, gateway.as_admin(&token, api).send()),
        (200, visitor.get("/")),
        (200, stranger.get("/login")),
        (200, stranger.call("/login").method("HEAD").send()),
        (303, stranger.get("/")),
        (401, stranger.call("/").header("HX-Request: true").send()),
        (401, gateway.admin(api)),
        (401, stranger.sign_in("nonsense")),
        (401, stranger.sign_in("nonsense")),
        (429, stranger.sign_in("nonsense")),
        (403, visitor.call("/logout").method("POST").send()),
        (400, visitor.post("/login", "nothing=here")),
        (404, gateway.admin("/nowhere")),
        (404, gateway.admin("/assets/nowhere.js")),
        (405, visitor.call("/login").method("DELETE").header("Sec-Fetch-Site: same-origin").send()),
        (303, visitor.post("/logout", "")),
    ];
    for (status, answer) in &answers {
        assert_eq!(answer.status, *status, "{answer:?}");
        is_protected(answer, "no-store");
    }
    is_protected(&gateway.admin("/assets/style.css"), "public, max-age=300");
}
