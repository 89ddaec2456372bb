//! The reference file, the document and the schema say what the table of settings says.

use super::super::settings::SETTINGS;
use super::super::shape::{Setting, Shape};
use super::good;
use crate::config::{Environment, reference};

pub(super) const REFERENCE: &str = include_str!("../../../config/keygate.toml");
const DOCUMENT: &str = include_str!("../../../docs/configuration.md");

#[test]
fn the_reference_file_says_what_holds_without_it() {
    assert_eq!(good(REFERENCE).show_toml(), good("").show_toml());
}

#[test]
fn the_reference_file_holds_with_every_example_of_what_is_built() {
    let later = settings_that("", SETTINGS, &|setting| !setting.built);
    let config =
        good(&with_examples(&|path| !later.iter().any(|name| path.starts_with(name)))).config;
    assert_eq!(config.routes.len(), 3);
    assert_eq!(config.upstreams[0].sandbox.len(), 1);
    assert_eq!(config.errors.len(), 3);
    assert_eq!(config.permissions.len(), 2);
}

#[test]
fn the_reference_file_has_every_setting() {
    let file: toml::Table = with_examples(&|_| true).parse().unwrap();
    let file = toml::Value::Table(file);
    for path in settings_that("", SETTINGS, &|_| true) {
        assert!(mentions(&file, &path), "config/keygate.toml does not mention {path}");
    }
}

/// The reference file with those of its commented examples whose path is wanted.
fn with_examples(wanted: &dyn Fn(&str) -> bool) -> String {
    let mut text = String::new();
    let mut section = String::new();
    for line in REFERENCE.lines() {
        let example = line.strip_prefix("# ").filter(|line| is_setting(line));
        let line = example.unwrap_or(line);
        let name = line.split(" = ").next().unwrap_or_default();
        if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).replace("upstreams.api", "upstreams.NAME");
        }
        let path =
            if line.starts_with('[') { section.clone() } else { format!("{section}.{name}") };
        if example.is_none() || wanted(&path) {
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

fn is_setting(line: &str) -> bool {
    let header = line.starts_with('[') && line.ends_with(']');
    header || line.split_once(" = ").is_some_and(|(name, _)| !name.trim().contains(' '))
}

/// Whether a path is there; in lists and under chosen names, in any of the entries.
fn mentions(value: &toml::Value, path: &str) -> bool {
    let (name, rest) = path.split_once('.').unwrap_or((path, ""));
    match value {
        _ if path.is_empty() => true,
        toml::Value::Array(values) => values.iter().any(|value| mentions(value, path)),
        toml::Value::Table(table) if name == "NAME" => table.values().any(|v| mentions(v, rest)),
        toml::Value::Table(table) => table.get(name).is_some_and(|value| mentions(value, rest)),
        _ => false,
    }
}

/// The paths of settings, with `NAME` for names that the operator chooses.
fn settings_that(
    path: &str,
    settings: &[Setting],
    wanted: &dyn Fn(&Setting) -> bool,
) -> Vec<String> {
    let mut paths = Vec::new();
    for setting in settings {
        let path = format!("{path}{}", setting.name);
        let (within, inner) = match &setting.shape {
            Shape::Named { of: Shape::Table(inner), .. } => (format!("{path}.NAME."), *inner),
            Shape::Table(inner) | Shape::Tables(inner) => (format!("{path}."), *inner),
            _ => (String::new(), &[][..]),
        };
        if wanted(setting) {
            paths.push(path);
        }
        paths.extend(settings_that(&within, inner, wanted));
    }
    paths
}

#[test]
fn the_document_is_made_from_the_table_of_settings() {
    let made = reference::markdown();
    if Environment::process().get("KEYGATE_UPDATE").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        std::fs::write(file, &made).unwrap();
    } else {
        assert!(
            made == DOCUMENT,
            "docs/configuration.md is stale: run `KEYGATE_UPDATE=1 cargo test --lib config::`"
        );
    }
}

#[test]
fn the_schema_knows_every_setting_and_nothing_else() {
    let schema = reference::schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["server"]["properties"]["workers"]["default"], 0);
    let route = &schema["properties"]["routes"]["items"];
    assert_eq!(route["required"], serde_json::json!(["path", "upstream"]));
    assert_eq!(route["additionalProperties"], false);
    let upstream = &schema["properties"]["upstreams"]["additionalProperties"];
    assert_eq!(upstream["properties"]["targets"]["minItems"], 1);
}

#[test]
fn every_setting_that_is_not_built_has_a_case_among_the_refused() {
    assert_eq!(settings_that("", SETTINGS, &|setting| !setting.built).len(), 2);
}
