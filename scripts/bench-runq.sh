#!/bin/sh
# Measures what `osdiag runq` costs on this machine, and prints the figures: nanoseconds added to a context switch, beside
# those that libbpf-tools' runqlat adds in the same rounds where it is installed, how long a wait is by its account and by
# the scheduler's, and the time from exec to recording. Needs root and a quiet machine.
set -eu
cd "$(dirname "$0")/.."
cargo xtask build
OSDIAG_BIN="$PWD/target/release/osdiag" exec cargo test --quiet --release --package diag-cli --test live -- --ignored cost_runq
