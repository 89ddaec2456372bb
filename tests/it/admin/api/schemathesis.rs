//! The API does what its document says, tried by a tool that reads nothing else: requests as they
//! should be and as they should not, each answer held against the document.
//!
//! `KEYGATE_EXAMPLES=1000` asks for so many of each call.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::{Scene, reader};
use crate::support::skipped;

/// Requests of each call where nothing is said: enough to notice what is broken.
const FEW: &str = "3";

#[test]
fn every_answer_is_as_the_document_says() {
    let tool = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients/bin/st");
    if !tool.exists() {
        skipped("Python with the packages of tests/it/examples/clients", "python3-venv");
        return;
    }
    let scene = Scene::new();
    let [kept, switched, ended] =
        ["kept", "switched", "ended"].map(|name| scene.key(&reader(name)));
    let token = scene.done("POST", "tokens", &json!({ "name": "ended", "role": "viewer" }));
    crate::support::leaks::note(token["token"].as_str().unwrap());
    scene.done("POST", "owners/default/credits", &json!({ "amount": "5" }));
    #[expect(clippy::disallowed_methods, reason = "this is no part of the configuration")]
    let examples = std::env::var("KEYGATE_EXAMPLES").unwrap_or_else(|_| FEW.to_owned());

    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(tool)
        .current_dir(folder.path())
        .args([
            "--config-file",
            concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/admin/api/schemathesis.toml"),
        ])
        .args(["run", "--no-color", "--max-examples", &examples])
        .arg(format!("http://{}/admin/openapi.json", scene.gateway.admin_address()))
        .env("ADMIN_TOKEN", scene.admin.text())
        .env("KEPT_KEY", kept.id())
        .env("SWITCHED_KEY", switched.id())
        .env("ENDED_KEY", ended.id())
        .env("ENDED_TOKEN", token["id"].as_str().unwrap())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Test cases"), "{said}");
}
