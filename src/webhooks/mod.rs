//! Webhooks: what happened, told to the operator's services and to the addresses that keys and
//! owners have named for themselves, by Standard Webhooks.
//!
//! Events are written into the store in the transaction of what they tell of. Here they are made
//! into deliveries, a row for each address, and sent until they are taken or given up. The one rule:
//! nothing is connected to but what the [`guard`] let pass.

mod deliver;
pub mod guard;
pub mod hooks;
mod housekeeping;
mod keys;
mod schedule;
mod send;
mod settings;
mod sign;
pub mod vault;

pub use deliver::{Prepared, Webhooks};
pub use guard::{Guard, Network};
pub use hooks::{HookError, Hooks};
