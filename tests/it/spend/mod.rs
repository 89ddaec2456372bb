//! Budgets and credits: what is spent, by however many instances, and what is on the books of it.

mod gateways;
mod keepers;
