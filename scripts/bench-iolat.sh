#!/bin/sh
# Measures what `osdiag iolat` costs on this machine, and prints the figures: nanoseconds added to a cached read and to
# an unrelated system call, the time from exec to recording, and the resident set. Needs root and a quiet machine.
set -eu
cd "$(dirname "$0")/.."
cargo xtask build
OSDIAG_BIN="$PWD/target/release/osdiag" exec cargo test --quiet --release --package diag-cli --test live -- --ignored bench
