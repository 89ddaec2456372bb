//! The engine's entry: `TARGET=name fuzz [libFuzzer's options] corpus…`. Built without
//! `--cfg fuzzing` it does nothing; `./fuzz/run` builds it as it should be.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
mod engine {
    use std::sync::LazyLock;

    #[expect(clippy::disallowed_methods, reason = "the engine owns the command line")]
    static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
        let name = std::env::var("TARGET").expect("TARGET names what to fuzz");
        keygate_fuzz::target(&name).expect("TARGET names a target")
    });

    libfuzzer_sys::fuzz_target!(|bytes: &[u8]| TARGET(bytes));
}

#[cfg(not(fuzzing))]
fn main() {}
