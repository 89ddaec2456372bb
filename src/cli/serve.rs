//! `serve`: the gateway, until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use super::failure::Result;
use super::health::reachable;
use super::output::say;
use super::session::Session;
use super::{Globals, session};
use crate::admin::Door;
use crate::config::{Config, Environment, LoadedConfig};
use crate::domain::Clock;
use crate::gateway::Gateway;
use crate::store::{KeyFilter, PageRequest};
use crate::telemetry;
use crate::tls::ServerFiles;

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
    say(&standing(&loaded.config, &gateway))?;
    let door = Arc::clone(gateway.door());
    let beginning = tokio::spawn(say_how_to_begin(loaded, door, gateway.admin_address()));
    gateway.run_until_stopped().await?;
    beginning.abort();
    Ok(())
}

fn standing(config: &Config, gateway: &Gateway) -> String {
    let line = |scheme: &str, address, what| format!("listening on {scheme}://{address} ({what})");
    let tls = scheme(config.server.tls.as_ref());
    let data = gateway.data_addresses().iter().map(|address| line(tls, *address, "data plane"));
    let redirect = gateway.redirect_address().map(|address| line("http", address, "to https"));
    let admin = line(scheme(config.admin.tls.as_ref()), gateway.admin_address(), "admin");
    data.chain(redirect).chain([admin]).collect::<Vec<_>>().join("\n")
}

/// A store out of reach is the gateway's to tell of; here it only means that there is nothing to
/// say. With stderr closed there is nobody to tell.
async fn say_how_to_begin(loaded: LoadedConfig, door: Arc<Door>, admin: SocketAddr) {
    let command = format!("keygate --config {}", loaded.file.display());
    let scheme = scheme(loaded.config.admin.tls.as_ref());
    let Ok(session) = Session::on(loaded).await else { return };
    let page = PageRequest { after: None, limit: 1 };
    if let Ok(keys) = session.store.keys(&KeyFilter::default(), &page).await
        && keys.rows.is_empty()
    {
        let _ = say(&format!(
            "There are no keys yet. Mint the first: {command} key create --name first"
        ));
    }
    if let Ok(false) = session.store.has_tokens().await
        && let Ok(code) = door.offer_setup()
    {
        // Behind the #, where browsers keep it to themselves: it is in no log and no Referer.
        let _ = say(&format!(
            "There is no admin token yet. Make the first here, within 15 minutes:\n  \
             {scheme}://{}/setup#{}\nhint: or by command: {command} admin-token create --name NAME",
            reachable(admin),
            code.expose()
        ));
    }
}

fn scheme(tls: Option<&ServerFiles>) -> &'static str {
    if tls.is_some() { "https" } else { "http" }
}
