//! `serve`: the gateway, until it is told to stop.

use super::failure::Result;
use super::session::Session;
use super::{Globals, session};
use crate::config::{Environment, LoadedConfig};
use crate::domain::Clock;
use crate::gateway::Gateway;
use crate::store::{KeyFilter, PageRequest};
use crate::telemetry::log;

/// The variable that says what the process's log tells: a level, or `module=level` pairs.
pub(crate) const LOG_FILTER: &str = "KEYGATE_LOG";

/// Runs the gateway.
pub(crate) async fn run(globals: &Globals) -> Result {
    let loaded = session::load(globals)?;
    let variables = Environment::process();
    log::init(variables.get(LOG_FILTER))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let gateway = Gateway::start(loaded.clone(), variables, Clock::system()).await?;
    for address in gateway.data_addresses() {
        tracing::info!("listening on http://{address} (data plane)");
    }
    tracing::info!("listening on http://{} (admin)", gateway.admin_address());
    let first_key = tokio::spawn(tell_how_to_mint_the_first_key(loaded));
    gateway.run_until_stopped().await?;
    first_key.abort();
    Ok(())
}

/// A store out of reach is the gateway's to tell of; here it only means that there is nothing to
/// say.
async fn tell_how_to_mint_the_first_key(loaded: LoadedConfig) {
    let file = loaded.file.clone();
    let Ok(session) = Session::on(loaded).await else { return };
    let page = PageRequest { after: None, limit: 1 };
    if let Ok(keys) = session.store.keys(&KeyFilter::default(), &page).await
        && keys.rows.is_empty()
    {
        let file = file.display();
        tracing::info!(
            "there are no keys yet; mint the first: keygate --config {file} key create --name first"
        );
    }
}
