//! What an independent scanner says of TLS as it is by default.

use std::process::Command;

use serde_json::Value;

use super::setup;
use crate::support::tls::Authority;
use crate::support::{Origin, skipped};

/// Protocols, cipher categories, forward secrecy, the server's preference, known vulnerabilities. The
/// certificate is a test's own and is not looked at.
const CHECKS: [&str; 5] = ["-p", "-s", "-f", "-P", "-U"];

#[test]
fn a_scanner_finds_nothing_above_low() {
    if Command::new("testssl").arg("--version").output().is_err() {
        return skipped("TLS scanner", "testssl.sh");
    }
    let (origin, authority) = (Origin::start(), Authority::new("ca"));
    authority.issue("api", &["localhost"]);
    let gateway = setup(&origin).config(&authority.config(&["api"], "")).start();
    let found = authority.file("found.json");
    let scan = Command::new("testssl")
        .args(["--quiet", "--color", "0", "--warnings", "off", "--jsonfile"])
        .arg(&found)
        .args(CHECKS)
        .arg(format!("localhost:{}", gateway.address().port()))
        .output()
        .expect("the scanner runs");
    let text = std::fs::read_to_string(&found).expect("it writes what it found");
    let found: Value = serde_json::from_str(&text).expect("it writes JSON");
    let found = found.as_array().expect("it writes a list");
    let grave = |row: &&Value| {
        matches!(row["severity"].as_str(), Some("MEDIUM" | "HIGH" | "CRITICAL" | "FATAL"))
    };
    let grave: Vec<&Value> = found.iter().filter(grave).collect();
    assert!(grave.is_empty(), "{grave:#?}");
    let said = String::from_utf8_lossy(&scan.stdout);
    assert!(found.len() > 40, "the scan is not whole: {said}");
}
