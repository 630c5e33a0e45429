//! What `osdiag delays` costs. Not a test: it prints figures, and runs only with `--tier bench`.

use super::trace;
use crate::{Outcome, Test, bench::starts, runq::bench::switch_beside_runqlat};

/// The benches of this room.
pub(crate) const TESTS: &[Test] = &[("bench_delays_switch", switch), ("bench_delays_start", start)];

fn switch() -> Outcome {
    switch_beside_runqlat("delays", || trace(&[]));
    Ok(())
}

fn start() -> Outcome {
    starts(|| trace(&["-i", "200ms"]));
    Ok(())
}
