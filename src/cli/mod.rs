//! The `keygate` command: parse what was typed, then do it.
