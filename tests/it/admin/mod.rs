//! The admin plane: its API, its dashboard, who may come in.

mod access;
mod api;
mod audit_chain;
mod browser;
mod live;
mod pages;
