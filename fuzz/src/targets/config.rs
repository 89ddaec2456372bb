//! Text as a configuration.

use std::path::Path;

use crate::config::{Environment, parse};

/// Every complaint has its place; a configuration that is good is shown so that it can be loaded
/// again, unless something in it is masked.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let environment = Environment::of(&[("UPSTREAM_TOKEN", "hush-hush"), ("EMPTY", "")]);
    match parse(text, Path::new("keygate.toml"), &environment) {
        Ok(loaded) => {
            let shown = loaded.show_toml();
            assert!(!shown.contains("hush-hush"), "a variable's value is masked");
            if shown.contains("***") {
                return;
            }
            let again = parse(&shown, Path::new("keygate.toml"), &environment);
            let again = again.unwrap_or_else(|problems| panic!("{problems:?}\n{shown}"));
            assert_eq!(again.show_toml(), shown);
            assert_eq!(again.hash(), loaded.hash());
        }
        Err(problems) => {
            assert!(!problems.is_empty());
            let lines = text.split('\n').count();
            for problem in problems {
                assert!((1..=lines).contains(&problem.line), "{problem:?} of {lines} lines");
                assert!(problem.column > 0 && !problem.message.is_empty(), "{problem:?}");
                assert!(!format!("{problem} {:?}", problem.hint).contains("hush-hush"));
            }
        }
    }
}
