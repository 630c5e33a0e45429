#!/bin/sh
# Measures what `osdiag hung` costs on this machine, and prints the figures: nanoseconds added to a context switch, the CPU
# that it takes beside 5,000 threads, and how late it tells of a stuck task. Needs root and a quiet machine.
set -eu
cd "$(dirname "$0")/.."
cargo xtask build
OSDIAG_BIN="$PWD/target/release/osdiag" exec cargo test --quiet --release --package diag-cli --test live -- --ignored hung_cost
