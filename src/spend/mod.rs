//! Spending budgets and credits: from leases in memory, without asking the store for each request.
//!
//! The one rule: a request whose cost is known is let through only by money that this instance holds
//! in a lease. So no budget is overspent, however many instances spend it at once. A [`Purse`] is a
//! key's money here; the [`Keeper`] fills purses before they are empty and gives back what lies idle.

mod cost;
mod keeper;
mod purse;

pub use cost::{Charge, CostError};
pub use keeper::{Keeper, Spender};
pub use purse::{Now, Purse, Reservation, Terms, TermsStamp};
