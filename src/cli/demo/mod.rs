//! `demo`: everything on one machine with no set-up.

mod calls;
mod setup;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::failure::Result;
use super::session::Session;
use super::{Globals, echo, serve};
use crate::config::{self, Environment};
use crate::domain::Clock;
use crate::gateway::Gateway;
use crate::telemetry::log;
use calls::Shown;
use setup::{Keys, Place, Plan};

/// `demo`.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the gateway listens; the admin plane takes the next port
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The API to stand in front of, else a built-in one that echoes
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Where the store is kept, else in a temporary directory that is removed in the end
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Sets everything up, prints what to try, and serves until it is interrupted.
pub(crate) async fn run(demo: Demo, globals: &Globals) -> Result {
    let place = Place::make(demo.data_dir)?;
    let echo = match demo.upstream {
        None => Some(echo::Standing::start().await?),
        Some(_) => None,
    };
    let upstream = match (&echo, demo.upstream) {
        (Some(echo), _) => format!("http://{}", echo.address()),
        (None, given) => given.unwrap_or_default(),
    };
    let plan = Plan { listen: demo.listen, upstream, echoes: echo.is_some() };
    plan.check_ports()?;
    let file = place.write_config(&plan)?;
    // What the gateway has to tell of itself would drown what there is to paste.
    log::init(Environment::process().get(serve::LOG_FILTER).or(Some("warn")))?;
    // The environment of whoever tries this out may name a real store.
    let variables = Environment::default();
    let loaded = config::load(&file, &variables)?;
    let session = Session::on(loaded.clone()).await?;
    let keys = setup::keys(&session).await?;
    drop(session);
    let gateway = Gateway::start(loaded, variables, Clock::system()).await?;
    show(&gateway, &plan, &keys, globals)?;
    // No secret stays in memory while it serves.
    drop(keys);
    Ok(gateway.run_until_stopped().await?)
}

fn show(gateway: &Gateway, plan: &Plan, keys: &Keys, globals: &Globals) -> Result {
    let data = gateway.data_addresses().first().copied().unwrap_or(plan.listen);
    let shown = Shown::new(data, gateway.admin_address(), plan, keys);
    globals.output().show(&shown, || shown.in_words())
}
