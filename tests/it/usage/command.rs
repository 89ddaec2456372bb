//! `keygate usage`.
