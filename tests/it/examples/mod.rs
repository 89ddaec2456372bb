//! The files of `config/examples`: every call that their documents describe, made by the real curl
//! through the real binary, and compared to the letter.

mod agentgate;
mod agentotp;
mod servoagent;
mod skillboss;
mod sovant;

use std::path::Path;

use rstest::rstest;

use crate::support::{Answer, TestGateway, TestStore};

/// What an example's route asks for: method, path, and the scope that lets through.
type Need = (&'static str, &'static str, &'static str);

#[rstest]
fn an_example_is_valid_as_it_stands(
    #[values("servoagent.toml", "agentgate.toml", "agentotp.toml", "skillboss.toml")] file: &str,
) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/examples").join(file);
    let (installation, _store) = TestGateway::with(TestStore::sqlite()).install();
    let path = path.to_str().expect("the path is text");
    installation.run(&["config", "check", "--config", path]);
}

/// Mints a key for each scope, and tries each on every route: it opens its own and no other.
#[track_caller]
fn each_scope_opens_its_own_routes_and_no_other(
    gateway: &TestGateway,
    scopes: &[&str],
    needs: &[Need],
    refused: impl Fn(&Answer, &str),
) {
    for scope in scopes {
        let key = gateway.key(&format!("--name {scope} --scope {scope} --limit 1000000/min"));
        for (method, path, needed) in needs {
            let answer = gateway.curl(path).method(method).bearer(&key).send();
            let seen = format!("{method} {path} with {scope}: {answer:?}");
            if scope == needed || *scope == "*" || *scope == "workspace:admin" {
                assert_eq!(answer.status, 200, "{seen}");
            } else {
                assert_eq!(answer.status, 403, "{seen}");
                refused(&answer, needed);
            }
        }
    }
}
