//! The steps of a request's way, said in words.
