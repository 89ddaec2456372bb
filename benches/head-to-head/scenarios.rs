//! What is measured, one table each.

use anyhow::{Context as _, Result};

use crate::report::Table;
use crate::stage::{Stage, progress};

mod bodies;
mod closed;
mod flood;
mod http2;
mod open;
mod passes;
mod refusals;
mod tls;
mod workers;

/// All there is.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Requests that pass, 64 connections, load and upstream spinning.
    Passes,
    /// The same, load and upstream sleeping.
    Sleeping,
    /// The same, 1,000 connections.
    Thousand,
    /// Requests that are refused, by why they are.
    Refusals,
    /// 4,000 requests a second, however the proxy fares.
    Open,
    /// Known keys beside 20,000 bad ones a second.
    Flood,
    /// TLS 1.3 with keep-alive.
    Tls,
    /// New TLS connections, one request each.
    Handshakes,
    /// HTTP/2 over TLS.
    H2,
    /// Bodies of 64 KiB and 1 MiB.
    Bodies,
    /// keygate with one worker and with two.
    Workers,
}

impl Scenario {
    /// Measures it and prints its tables.
    pub fn play(self, stage: &mut Stage<'_>) -> Result<()> {
        let tables = match self {
            Self::Passes => one(passes::spinning(stage)),
            Self::Sleeping => one(passes::sleeping(stage)),
            Self::Thousand => one(passes::thousand(stage)),
            Self::Refusals => refusals::measure(stage),
            Self::Open => one(open::measure(stage)),
            Self::Flood => one(flood::measure(stage)),
            Self::Tls => one(tls::keep_alive(stage)),
            Self::Handshakes => one(tls::handshakes(stage)),
            Self::H2 => http2::measure(stage),
            Self::Bodies => bodies::measure(stage),
            Self::Workers => one(workers::measure(stage)),
        };
        let name =
            clap::ValueEnum::to_possible_value(&self).context("every scenario has a name")?;
        let tables = tables.with_context(|| format!("cannot measure {}", name.get_name()))?;
        tables.iter().try_for_each(|table| progress(&format!("{}: {table}", name.get_name())))
    }
}

fn one(table: Result<Table>) -> Result<Vec<Table>> {
    Ok(vec![table?])
}
