//! From a string to a key that may call: the key table, verification, minting.
