//! `completions` and `man`: what is made of the commands' own definitions.

use std::io::Write as _;

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man as Page;

use super::Cli;
use super::failure::{Failure, Result};

/// `completions SHELL`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell's
    shell: Shell,
}

/// `man [COMMAND]…`.
#[derive(Debug, Args)]
pub(crate) struct Man {
    /// The command whose page it is, like `key create`; none: keygate itself
    command: Vec<String>,
}

/// Prints the completions of a shell, to be put where it looks for them.
pub(crate) fn completions(completions: &Completions) -> Result {
    let mut text = Vec::new();
    clap_complete::generate(completions.shell, &mut Cli::command(), "keygate", &mut text);
    print(&text)
}

/// Prints a page in roff, for `man -l -`.
pub(crate) fn man(man: &Man) -> Result {
    let mut root = Cli::command();
    root.build();
    let mut page = &root;
    for name in &man.command {
        page = page.find_subcommand(name).ok_or_else(|| {
            let known: Vec<_> = page.get_subcommands().map(clap::Command::get_name).collect();
            Failure::mistaken(format!("`{}` has no command `{name}`", page.get_name()))
                .with_hint(format!("it has {}", known.join(", ")))
        })?;
    }
    let mut text = Vec::new();
    Page::new(page.clone()).render(&mut text)?;
    print(&text)
}

fn print(text: &[u8]) -> Result {
    let mut out = anstream::stdout().lock();
    out.write_all(text)?;
    Ok(out.flush()?)
}
