//! The rules of minting, on a real store.
