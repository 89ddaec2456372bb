//! The data plane: a request's way from its first byte to the end of its answer.

pub mod explain;
