//! Events reach the addresses that they are meant for, and no others.

mod hooks;
