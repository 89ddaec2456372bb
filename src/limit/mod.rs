//! Counting requests: exact sliding windows per key, and failed attempts per address.
