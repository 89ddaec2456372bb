//! `config check`, `config show`, `config schema`.

use clap::Subcommand;
use serde_json::{Value, json};

use super::failure::Result;
use super::{Globals, output, session};
use crate::config::{self, Environment, LoadedConfig, Problem};

/// `config …`.
#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Say everything that is wrong with the configuration, with its place and the fix
    Check,
    /// Print the configuration in force: file, environment and defaults, secrets masked
    Show,
    /// Print the JSON Schema of the configuration, for editors
    Schema,
}

/// Checks, shows or describes.
pub(crate) fn run(command: &Config, globals: &Globals) -> Result {
    match command {
        Config::Check => check(globals),
        Config::Show => show(globals),
        Config::Schema => output::object(&config::reference::schema()),
    }
}

fn check(globals: &Globals) -> Result {
    let file = session::locate(globals)?;
    let loaded = config::load(&file, &Environment::process());
    let loaded = loaded.and_then(|loaded| loaded.check_files().map(|()| loaded));
    if globals.json {
        let (problems, warnings) = match &loaded {
            Ok(LoadedConfig { warnings, .. }) => (Vec::new(), as_json(warnings)),
            Err(problems) => (as_json(problems), Vec::new()),
        };
        output::object(&json!({
            "file": file,
            "valid": loaded.is_ok(),
            "problems": problems,
            "warnings": warnings,
        }))?;
        return Ok(loaded.map(|_| ())?);
    }
    for Problem { file, line, column, message, hint } in loaded?.warnings {
        output::say(&format!("warning: {}:{line}:{column}: {message}", file.display()))?;
        if let Some(hint) = hint {
            output::say(&format!("hint: {hint}"))?;
        }
    }
    output::line(&format!("{} is valid.", file.display()))
}

fn show(globals: &Globals) -> Result {
    let loaded = session::load(globals)?;
    globals.output().show(&loaded.show_json(), || loaded.show_toml().trim_end().to_owned())
}

fn as_json(problems: &[Problem]) -> Vec<Value> {
    let one = |problem: &Problem| {
        json!({
            "file": problem.file,
            "line": problem.line,
            "column": problem.column,
            "message": problem.message,
            "hint": problem.hint,
        })
    };
    problems.iter().map(one).collect()
}
