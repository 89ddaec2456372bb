//! Who may come in: tokens, sessions, the way in while there is no token, and what is kept out.

mod flood;
mod forms;
mod headers;
mod sessions;
mod setup;
mod tls;
mod tokens;
mod visitor;
