//! `serve`: the gateway, until it is told to stop.

use super::failure::Result;
use super::session::Session;
use super::{Globals, session};
use crate::config::{Environment, LoadedConfig};
use crate::domain::Clock;
use crate::gateway::Gateway;
use crate::store::{KeyFilter, PageRequest};
<<<<<<< HEAD
use crate::telemetry;

/// Names what the process's log tells: a level, or `module=level` pairs.
const LOG_FILTER: &str = "KEYGATE_LOG";
=======
use crate::telemetry::log;

/// The variable with the log's filter, by the name that such variables have everywhere.
pub(crate) const LOG_FILTER: &str = "RUST_LOG";
>>>>>>> cli

/// Runs the gateway.
pub(crate) async fn run(globals: &Globals) -> Result {
    let loaded = session::load(globals)?;
    let variables = Environment::process();
    log::init(variables.get(LOG_FILTER))?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
<<<<<<< HEAD
    let environment = Environment::process();
    telemetry::log::init(environment.get(LOG_FILTER)).map_err(anyhow::Error::from)?;
    let gateway = Gateway::start(loaded.clone(), environment, Clock::system()).await?;
    say(&standing(gateway.data_addresses(), gateway.admin_address()))?;
    let first_key = tokio::spawn(say_how_to_mint_the_first_key(loaded));
=======
    let gateway = Gateway::start(loaded.clone(), variables, Clock::system()).await?;
    for address in gateway.data_addresses() {
        tracing::info!("listening on http://{address} (data plane)");
    }
    tracing::info!("listening on http://{} (admin)", gateway.admin_address());
    let first_key = tokio::spawn(tell_how_to_mint_the_first_key(loaded));
>>>>>>> cli
    gateway.run_until_stopped().await?;
    first_key.abort();
    Ok(())
}

<<<<<<< HEAD
fn standing(data: &[SocketAddr], admin: SocketAddr) -> String {
    let data = data.iter().map(|address| format!("listening on http://{address} (data plane)"));
    let admin = std::iter::once(format!("listening on http://{admin} (admin)"));
    data.chain(admin).collect::<Vec<_>>().join("\n")
}

=======
>>>>>>> cli
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
