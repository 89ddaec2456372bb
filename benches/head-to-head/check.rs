//! Whether a proxy does the work that it is measured at.

use anyhow::{Context as _, Result, ensure};

use crate::common::peer::BODY;
use crate::keys::{Keys, request};
use crate::process::Running;
use crate::traffic::Traffic;

/// So many requests of a key pass in the check of the limit, and the next one does not.
pub const LOW_LIMIT: u32 = 5;

/// Makes the calls whose outcome shows each part of the work, of a proxy with [`LOW_LIMIT`].
pub fn does_the_work(traffic: &mut Traffic, running: &Running, keys: &Keys) -> Result<()> {
    let proxy = running.proxy;
    let mut ask = |request: &[u8]| traffic.ask(&running.endpoint, request, BODY);

    let without = ask(&request(None))?;
    ensure!(without.status == 401, "no key was answered with {}", without.status);
    let wrong = ask(&request(Some("sk_live_00000000000000000000000000000000000000")))?;
    ensure!(wrong.status == 401, "a wrong key was answered with {}", wrong.status);
    ensure!(wrong.upstream_saw.is_none(), "the upstream saw a call with a wrong key");

    let key = keys.0.last().context("there is at least one key")?;
    let right = ask(&key.request)?;
    ensure!(right.status == 200, "a right key was answered with {}", right.status);
    let seen = right.upstream_saw.context("the upstream saw nothing")?.to_ascii_lowercase();
    ensure!(!seen.contains("authorization"), "the credential reached the upstream");
    let secret = key.secret.expose().to_ascii_lowercase();
    ensure!(!seen.contains(&secret), "the secret reached the upstream");
    let identity = format!("\r\nx-auth-key-id: {}\r\n", key.id);
    ensure!(seen.contains(&identity), "the upstream was not told the key's id");

    for call in 2..=LOW_LIMIT {
        let status = ask(&key.request)?.status;
        ensure!(status == 200, "call {call} within the limit was answered with {status}");
    }
    let over = ask(&key.request)?.status;
    ensure!(over == 429, "a call over the limit was answered with {over}: {proxy} does not count");
    let other = ask(&keys.0[0].request)?.status;
    ensure!(keys.0.len() == 1 || other == 200, "one key's limit was held against another's call");
    Ok(())
}
