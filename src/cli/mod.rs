//! The `keygate` command: parse what was typed, then do it.
//!
//! One file a noun. Every command loads what it needs (nothing, the configuration, the store),
//! asks the parts that know, and prints: results on stdout, talk on stderr. A secret is printed
//! once, alone on stdout, and is never taken as an argument.

mod admin_token;
mod agent;
mod audit;
mod config;
mod credits;
mod demo;
mod documents;
pub mod echo;
mod explain;
mod failure;
mod health;
mod instances;
mod key;
mod migrate;
mod output;
mod owner;
mod receipt;
mod running;
mod serve;
mod session;
mod typed;
mod usage;
mod webhook;

use std::future::Future;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::runtime::Builder;

use failure::{Failure, Result};
use output::Output;

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "keygate",
    version,
    about = "An API-key gateway: stands in front of an HTTP API and lets in only the calls whose \
             key may make them",
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100
)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// What may stand before or behind every command.
#[derive(Debug, Args)]
struct Globals {
    /// The configuration; else ./keygate.toml, else /etc/keygate/keygate.toml
    #[arg(short, long, value_name = "FILE", global = true)]
    #[arg(env = "KEYGATE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway
    Serve,
    /// Try everything on this machine, with no set-up
    Demo(demo::Demo),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::Config),
    /// Say what would become of a request, and why; consumes nothing
    Explain(explain::Explain),
    /// Bring the store's schema up to date
    Migrate(migrate::Migrate),
    /// The accounts and organizations that keys belong to
    #[command(subcommand)]
    Owner(owner::Owner),
    /// The keys: who may call, what, how much, until when
    #[command(subcommand)]
    Key(key::Key),
    /// Keys, in the words of Agent OTP
    #[command(subcommand)]
    Agent(agent::Agent),
    /// What owners have paid in advance
    #[command(subcommand)]
    Credits(credits::Credits),
    /// Credentials for the admin API and the dashboard
    #[command(subcommand)]
    AdminToken(admin_token::AdminToken),
    /// Who changed what, when, from where
    Audit(audit::Audit),
    /// What was used, and what it cost
    Usage(usage::Usage),
    /// Events on their way to your services: what was sent, what waits, what failed
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// The running instances: who they are, and how far behind
    Instances,
    /// Run a small upstream that answers with the request it got
    Echo(echo::Echo),
    /// Ask the running gateway whether it is ready; exit code 0 or 1
    Health(health::Health),
    /// Print the completions of a shell
    Completions(documents::Completions),
    /// Print the manual page, or that of a command
    Man(documents::Man),
}

/// Runs the command that the process was started with. Bad usage ends the process with 2.
pub fn run() -> ExitCode {
    let Cli { globals, command } = Cli::parse();
    match dispatch(command, &globals) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Where stderr is closed too, the exit code is all that is left to say it with.
            let _ = failure.report(&mut anstream::stderr().lock());
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(command: Command, globals: &Globals) -> Result {
    match command {
        Command::Serve => on_all_cores(serve::run(globals)),
        Command::Demo(demo) => on_all_cores(demo::run(demo, globals)),
        Command::Echo(echo) => on_all_cores(echo::run(echo)),
        Command::Config(config) => config::run(&config, globals),
        Command::Explain(explain) => on_this_thread(explain::run(explain, globals)),
        Command::Migrate(migrate) => on_this_thread(migrate::run(migrate, globals)),
        Command::Owner(owner) => on_this_thread(owner::run(owner, globals)),
        Command::Key(key) => on_this_thread(key::run(key, globals)),
        Command::Agent(agent) => on_this_thread(agent::run(agent, globals)),
        Command::Credits(credits) => on_this_thread(credits::run(credits, globals)),
        Command::AdminToken(token) => on_this_thread(admin_token::run(token, globals)),
        Command::Audit(audit) => on_this_thread(audit::run(audit, globals)),
        Command::Usage(usage) => on_this_thread(usage::run(usage, globals)),
        Command::Webhook(webhook) => on_this_thread(webhook::run(webhook, globals)),
        Command::Instances => on_this_thread(instances::run(globals)),
        Command::Health(health) => on_this_thread(health::run(health, globals)),
        Command::Completions(completions) => documents::completions(&completions),
        Command::Man(man) => documents::man(&man),
    }
}

impl Globals {
    fn output(&self) -> Output {
        Output { json: self.json }
    }
}

fn on_this_thread(work: impl Future<Output = Result>) -> Result {
    block_on(&mut Builder::new_current_thread(), work)
}

fn on_all_cores(work: impl Future<Output = Result>) -> Result {
    block_on(&mut Builder::new_multi_thread(), work)
}

fn block_on(builder: &mut Builder, work: impl Future<Output = Result>) -> Result {
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("the runtime could not be started: {error}")))?;
    runtime.block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_global_flags_stand_before_or_behind_the_command() {
        for typed in [
            ["keygate", "-c", "k.toml", "--json", "key", "list"],
            ["keygate", "key", "list", "--json", "-c", "k.toml"],
            ["keygate", "key", "-c", "k.toml", "list", "--json"],
        ] {
            let cli = Cli::try_parse_from(typed).unwrap();
            assert!(cli.globals.json, "{typed:?}");
            assert_eq!(cli.globals.config, Some("k.toml".into()), "{typed:?}");
        }
    }

    #[test]
    fn every_command_is_described_as_it_was_last_reviewed() {
        let mut pages = String::new();
        let mut root = Cli::command().term_width(100);
        root.build();
        describe(&mut root, "keygate", &mut pages);
        insta::assert_snapshot!(pages);
    }

    fn describe(command: &mut clap::Command, name: &str, pages: &mut String) {
        let help = command.clone().bin_name(name).term_width(100).render_help();
        pages.extend(["$ ", name, " --help\n", &help.to_string(), "\n"]);
        for inner in command.get_subcommands_mut().filter(|c| c.get_name() != "help") {
            let name = format!("{name} {}", inner.get_name());
            describe(inner, &name, pages);
        }
    }
}
