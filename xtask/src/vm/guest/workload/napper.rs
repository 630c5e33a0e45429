//! A thread that sleeps shortly, again and again: each sleep ends with an interrupt of the local timer.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::report::Truth;

const NAPS: u64 = 400;
const NAP: Duration = Duration::from_millis(3);

/// Runs it; leaves in the file `truth` how often it slept, by the function that ends a sleep.
pub(crate) fn run(truth: &Path) -> Result<()> {
    let start = Instant::now();
    (0..NAPS).for_each(|_| thread::sleep(NAP));
    let slept = Truth {
        op: "hrtimer_wakeup".to_owned(),
        count: NAPS,
        sum_ns: u64::try_from(start.elapsed().as_nanos())?,
        ..Truth::default()
    };
    Ok(fs::write(truth, serde_json::to_vec(&[slept])?)?)
}
