//! The data plane: a request's way, from its head to its answer.

pub mod path;
pub mod route;
