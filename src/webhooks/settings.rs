//! What of the configuration deliveries go by.

use std::sync::Arc;

use super::guard::{Guard, Network};
use super::send::Sender;
use crate::config::{Endpoint, LoadedConfig};
use crate::domain::WebhookUrl;
use crate::store::deliveries::Destination;
use crate::tls;

/// The configuration, taken up.
pub(super) struct Settings {
    pub(super) sender: Sender,
    endpoints: Vec<(String, Endpoint)>,
}

impl Settings {
    /// Reads the authorities' file; the error says what is wrong with it.
    pub(super) fn new(loaded: &LoadedConfig, network: &Arc<dyn Network>) -> Result<Self, String> {
        let webhooks = &loaded.config.webhooks;
        let tls = tls::beside_the_system(webhooks.ca_file.as_deref());
        let tls = tls.map_err(|error| format!("webhooks.ca_file: {error}"))?;
        let guard = Guard::over(Arc::clone(network), webhooks.allow_private_networks);
        let endpoints = webhooks.endpoints.iter().map(|it| (name(&it.url), it.clone())).collect();
        Ok(Self { sender: Sender::new(guard, tls), endpoints })
    }

    /// The names of all endpoints.
    pub(super) fn names(&self) -> Vec<String> {
        self.endpoints.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The endpoint of that name.
    pub(super) fn endpoint(&self, name: &str) -> Option<&Endpoint> {
        self.endpoints.iter().find(|(known, _)| known == name).map(|(_, endpoint)| endpoint)
    }

    /// Where an event of that kind goes.
    pub(super) fn route(&self, kind: &str) -> Vec<Destination> {
        let wants = |it: &&(String, Endpoint)| it.1.events.iter().any(|p| p.matches(kind));
        let wanting = self.endpoints.iter().filter(wants);
        wanting.map(|(name, it)| destination(name.clone(), &it.url)).collect()
    }
}

fn destination(endpoint: String, url: &WebhookUrl) -> Destination {
    Destination { endpoint, url: url.shown(), host: url.place() }
}

/// The same on every instance, and another for another URL. Not the URL itself, which may hold what
/// only the endpoint should know.
fn name(url: &WebhookUrl) -> String {
    format!("end_{}", &blake3::hash(url.as_str().as_bytes()).to_hex()[..32])
}
