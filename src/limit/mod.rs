//! Counting requests over exact sliding windows. Time is an argument; whose counter it is, the
//! caller's to say.

pub mod window;
