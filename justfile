# `just` lists what can be done here.
_default:
    @just --list

# What CI runs.
check:
    .ci/run

# All tests, or those whose name has the given word.
test *ARGS:
    ./test {{ARGS}}

# Random bytes for the parsers, guided by what they reach: every target 5 s, or as `fuzz/run` says.
fuzz *ARGS:
    ./fuzz/run {{ARGS}}

# The micro-benchmarks of the hot steps.
bench *ARGS:
    cargo bench --locked --bench hot {{ARGS}}

# keygate, nginx, HAProxy and a minimal proxy on hyper side by side; needs Debian's nginx and haproxy.
compare *ARGS:
    cargo bench --locked --bench head_to_head -- {{ARGS}}

# Pictures of every page of the dashboard.
screenshots *ARGS:
    tests/screenshots {{ARGS}}

fmt:
    cargo fmt

# The API documentation of the crate, in the browser.
docs:
    cargo doc --no-deps --locked --open
