//! What several instances on one store share beside keys: who else runs, and how far each has come.
//!
//! The one rule: the database's clock alone says who still runs, and nothing that a request waits
//! for is done here. Which changes are in force here is the key table's to say.

mod membership;
pub mod receipt;
mod reporter;

pub use membership::Membership;
pub use receipt::Receipt;
