//! Events reach the addresses that they are meant for, and no others.

mod bounds;
mod delivery;
mod hooks;

use http::{HeaderMap, HeaderName};
use serde_json::Value;
use standardwebhooks::Webhook;

use crate::support::origin::Received;
use crate::support::{Origin, TestGateway, TestStore, leaks};

/// A secret of an endpoint, as its operator made it.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Every waiting delivery is due now, as if its time had come.
const DUE_NOW: &str = "UPDATE deliveries SET next_attempt_at = 0 WHERE status = 'pending'";

/// An endpoint as the configuration has it.
fn endpoint(url: &str, events: &str) -> String {
    format!("[[webhooks.endpoints]]\nurl = \"{url}\"\nevents = {events}\nsecret = \"{SECRET}\"\n")
}

/// A gateway that may send to this machine's endpoints, which want everything.
fn gateway(store: TestStore, endpoints: &[&Origin]) -> TestGateway {
    let mut config = "[webhooks]\nallow_private_networks = true\n".to_owned();
    for origin in endpoints {
        config += &endpoint(&format!("http://{}/hook", origin.address()), "[\"*\"]");
    }
    TestGateway::with(store).config(&config).start()
}

/// What a message says, after an independent implementation has found its signature good.
fn verified(message: &Received, secret: &str) -> Value {
    let mut headers = HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        let value = message.header(name).expect("it is signed").parse().expect("a header");
        headers.insert(HeaderName::from_static(name), value);
    }
    let webhook = Webhook::new(secret).expect("a secret");
    webhook.verify(&message.body, &headers).expect("the signature is good");
    leaks::search("an event", &message.body);
    serde_json::from_slice(&message.body).expect("the body is JSON")
}

/// The messages that have come whole, as `(type, key's id)`.
fn told(origin: &Origin) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let whole = origin.received().into_iter().filter(|message| message.is_whole);
    whole
        .map(|message| {
            let body = verified(&message, SECRET);
            (text(&body["type"]), text(&body["data"]["key_id"]))
        })
        .collect()
}
