//! `serve`: the gateway, until it is told to stop.

use super::failure::Result;
use super::output::say;
use super::session::Session;
use super::{Globals, session};
use crate::config::{Environment, LoadedConfig};
use crate::domain::Clock;
use crate::gateway::Gateway;
use crate::store::{KeyFilter, PageRequest};
use crate::telemetry;

/// Names what the process's log tells: a level, or `module=level` pairs.
pub(crate) const LOG_FILTER: &str = "KEYGATE_LOG";

/// Runs the gateway.
pub(crate) async fn run(globals: &Globals) -> Result {
    let loaded = session::load(globals)?;
    loaded.check_files()?;
    for warning in &loaded.warnings {
        say(&format!("warning: {warning}"))?;
    }
    let environment = Environment::process();
    telemetry::log::init(environment.get(LOG_FILTER))?;
    let gateway = Gateway::start(loaded.clone(), environment, Clock::system()).await?;
    let scheme = if loaded.config.server.tls.is_some() { "https" } else { "http" };
    say(&standing(scheme, &gateway))?;
    let first_key = tokio::spawn(say_how_to_mint_the_first_key(loaded));
    gateway.run_until_stopped().await?;
    first_key.abort();
    Ok(())
}

fn standing(scheme: &str, gateway: &Gateway) -> String {
    let line = |scheme: &str, address, what| format!("listening on {scheme}://{address} ({what})");
    let data = gateway.data_addresses().iter().map(|address| line(scheme, *address, "data plane"));
    let redirect = gateway.redirect_address().map(|address| line("http", address, "to https"));
    let admin = line("http", gateway.admin_address(), "admin");
    data.chain(redirect).chain([admin]).collect::<Vec<_>>().join("\n")
}

/// A store out of reach is the gateway's to tell of; here it only means that there is nothing to
/// say.
async fn say_how_to_mint_the_first_key(loaded: LoadedConfig) {
    let file = loaded.file.clone();
    let Ok(session) = Session::on(loaded).await else { return };
    let page = PageRequest { after: None, limit: 1 };
    if let Ok(keys) = session.store.keys(&KeyFilter::default(), &page).await
        && keys.rows.is_empty()
    {
        let file = file.display();
        // With stderr closed there is nobody to tell.
        let _ = say(&format!(
            "There are no keys yet. Mint the first: keygate --config {file} key create --name first"
        ));
    }
}
