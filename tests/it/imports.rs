//! The layers hold: what may name what, read from the source itself.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up; a part names only parts that stand before it. So the data plane (`limit`,
/// `auth`, `proxy`) cannot name the control plane, whose parts all stand behind it.
const LAYERS: &[&str] = &[
    "domain",
    "key",
    "tls",
    "config",
    "telemetry",
    "store",
    "cluster",
    "limit",
    "spend",
    "usage",
    "auth",
    "webhooks",
    "rotation",
    "self_service",
    "proxy",
    "admin",
    "gateway",
    "cli",
];

/// Outside paths and the parts that may name them.
const HOMES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("redis", &["limit"]),
    ("memmap2", &["usage"]),
    ("argon2", &["key"]),
    ("askama", &["admin"]),
    ("axum", &["admin"]),
    ("cookie", &["admin"]),
    ("utoipa", &["admin"]),
    ("toml", &["config"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("clap_mangen", &["cli"]),
    ("comfy_table", &["cli"]),
    ("std::env", &["config"]),
    ("listenfd", &["gateway"]),
    ("sd_notify", &["gateway"]),
];

#[test]
fn a_part_names_only_parts_below_it() {
    let mut wrong = Vec::new();
    for (part, file, code) in sources() {
        let place = LAYERS.iter().position(|layer| *layer == part).unwrap_or_else(|| {
            panic!("{}: {part} has no place in the layers; give it one", file.display())
        });
        for named in own_parts_named(&code) {
            match LAYERS.iter().position(|layer| *layer == named) {
                Some(other) if other <= place => {}
                _ => wrong.push(format!("{} names crate::{named}", file.display())),
            }
        }
    }
    assert!(wrong.is_empty(), "the layers go {LAYERS:?}, but\n{}", wrong.join("\n"));
}

#[test]
fn an_outside_crate_is_named_in_its_home_only() {
    let mut wrong = Vec::new();
    for (part, file, code) in sources() {
        for (path, homes) in HOMES {
            if !homes.contains(&part.as_str()) && names(&code, path) {
                wrong.push(format!("{} names {path}, at home in {homes:?}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_read_from_plain_and_from_grouped_imports() {
    let code = "use crate::auth::{table, verify};\n\
                use crate::{config::{self, Config}, domain::Clock,\n    key};\n\
                fn f() -> crate::store::Result<()> {}";
    assert_eq!(own_parts_named(code), ["auth", "config", "domain", "key", "store"]);
    assert!(names("let x: sqlx::Pool;", "sqlx") && names("use sqlx;", "sqlx"));
    assert!(!names("use my::sqlx::Pool;", "sqlx") && !names("use sqlxx::Pool;", "sqlx"));
    assert_eq!(without_comments("a(); // crate::b\n/// crate::c\n"), "a(); \n\n");
}

/// Every source file of a part, with the part's name and its code without comments. `lib.rs` and
/// `main.rs` belong to none: they only name the parts.
fn sources() -> Vec<(String, PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&root, &mut files);
    let sources: Vec<_> = files
        .into_iter()
        .filter_map(|path| {
            let file = path.strip_prefix(&root).expect("found under it").to_owned();
            let part = file.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs");
            let part = part.to_owned();
            let code = without_comments(&fs::read_to_string(&path).expect("source is UTF-8"));
            (!matches!(part.as_str(), "lib" | "main")).then_some((part, file, code))
        })
        .collect();
    assert!(sources.len() > 20, "the sources were not found in {}", root.display());
    sources
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the sources") {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn without_comments(text: &str) -> String {
    text.lines().flat_map(|line| [line.split("//").next().unwrap_or_default(), "\n"]).collect()
}

/// The first segments of all paths that begin with `crate::`, groups taken apart.
fn own_parts_named(code: &str) -> Vec<&str> {
    let mut named = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => named.extend(group_members(group)),
            None => named.push(identifier(rest)),
        }
    }
    named
}

/// The names at the outermost level of a group, whose opening brace is already taken.
fn group_members(group: &str) -> Vec<&str> {
    let (mut members, mut depth, mut expected) = (Vec::new(), 0, true);
    for (at, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => expected = true,
            _ if expected && !character.is_whitespace() => {
                members.push(identifier(&group[at..]));
                expected = false;
            }
            _ => {}
        }
    }
    members
}

/// Whether the code has `path` as the beginning of a path.
fn names(code: &str, path: &str) -> bool {
    code.match_indices(path).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = &code[at + path.len()..];
        let begins = before.is_none_or(|c| !is_identifier(c) && c != ':' && c != '.');
        begins && (after.starts_with("::") || (after.starts_with(';') && before == Some(' ')))
    })
}

fn identifier(text: &str) -> &str {
    &text[..text.find(|c| !is_identifier(c)).unwrap_or(text.len())]
}

fn is_identifier(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}
