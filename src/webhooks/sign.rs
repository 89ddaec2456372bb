//! The signature of a message: Standard Webhooks 1.0.0 (`spec/standard-webhooks.md`, "Symmetric
//! signatures").

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key};

use crate::key::{SigningSecret, base64};

/// What `webhook-signature` says of a message that is sent at this time, in seconds since the epoch.
pub(super) fn signature(secret: &SigningSecret, id: &str, timestamp: i64, body: &[u8]) -> String {
    let mut context = Context::with_key(&Key::new(HMAC_SHA256, secret.expose()));
    context.update(format!("{id}.{timestamp}.").as_bytes());
    context.update(body);
    format!("v1,{}", base64::encode(context.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference implementations.
    #[test]
    fn a_signature_is_that_of_the_specification() {
        let secret = SigningSecret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        let signed = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }
}
