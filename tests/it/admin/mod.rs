//! The admin plane: its API, its dashboard, who may come in.

mod access;
mod browser;
mod pages;
