#!/bin/sh
# Measures what `osdiag vmexit` costs on this machine, and prints the figures: nanoseconds added to a round trip between
# two CPUs, to a TLB shootdown and to a short sleep, the time from exec to recording, and the resident set. Needs root,
# two CPUs and a quiet machine.
set -eu
cd "$(dirname "$0")/.."
cargo xtask build
OSDIAG_BIN="$PWD/target/release/osdiag" exec cargo test --quiet --release --package diag-cli --test live -- --ignored cost_vmexit
