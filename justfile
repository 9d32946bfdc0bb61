# The recipes call the scripts that CI calls; CI needs no `just`.

# What there is.
default:
    @just --list

# What every commit passes: format, lint, tests, docs, licences.
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo test --workspace --locked
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --locked
    .ci/deny

# All that CI runs, or `just ci quick`.
ci *ARGS:
    .ci/run {{ARGS}}

# The process tests at the size that CI runs.
suites:
    cargo build --workspace --locked
    .ci/suites ci

# The process tests at a size that is run by hand.
slow:
    cargo build --workspace --locked
    .ci/suites slow

# The README's first command and its tour, as written. Needs namespaces.
tour:
    .ci/tour

# The fleet of docker-compose.yml with the binaries of the build at hand. Needs an engine.
compose:
    cargo build --workspace --locked
    .ci/compose

# Client-server or peer-to-peer: print the table of docs/COMPARISON.md. Needs root, nginx and curl.
compare *NAMES:
    cargo build --release --workspace --locked
    target/release/cidra-compare {{NAMES}}

# Measure and print the tables of docs/BENCHMARKS.md: all, or those named.
bench *NAMES:
    cargo build --release --workspace --locked
    target/release/cidra-bench {{NAMES}}
