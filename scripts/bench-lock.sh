#!/bin/sh
# Measures what `osdiag lock` costs on this machine, and prints the figures: nanoseconds of CPU added to each contention of a
# spinning and of a sleeping lock, and the same for perf where it is installed. Needs root and a quiet machine.
set -eu
cd "$(dirname "$0")/.."
cargo xtask build
OSDIAG_BIN="$PWD/target/release/osdiag" exec cargo test --quiet --release --package diag-cli --test live -- --ignored cost_lock
