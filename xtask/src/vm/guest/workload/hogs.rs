//! Threads that all want one CPU all the time.

use std::fs;
use std::hint;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rustix::thread::{CpuSet, sched_setaffinity, set_name};

use crate::report::Truth;

const THREADS: usize = 3;
const LASTING: Duration = Duration::from_secs(2);

/// Runs them; leaves in the file `truth` how long the scheduler says that they waited.
pub(crate) fn run(truth: &Path) -> Result<()> {
    let threads = [(); THREADS].map(|()| thread::spawn(hog));
    let mut waited = Truth { op: "hog".to_owned(), ..Truth::default() };
    for thread in threads {
        let (times, ns) = thread.join().map_err(|_| anyhow!("a thread panicked"))??;
        waited.count += times;
        waited.sum_ns += ns;
    }
    Ok(fs::write(truth, serde_json::to_vec(&[waited])?)?)
}

/// How often and how long one waited.
fn hog() -> Result<(u64, u64)> {
    let mut first = CpuSet::new();
    first.set(0);
    sched_setaffinity(None, &first)?;
    set_name(c"hog")?;
    let [_, waited, times] = schedstat()?;
    let start = Instant::now();
    while start.elapsed() < LASTING {
        (0..10_000).for_each(|_| hint::spin_loop());
    }
    let [_, waited_then, times_then] = schedstat()?;
    Ok((times_then - times, waited_then - waited))
}

/// What the scheduler knows of this thread: time on a CPU and on its queue, ns, and how often it was put on.
fn schedstat() -> Result<[u64; 3]> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let numbers: Vec<u64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    numbers.try_into().ok().context("schedstat has three numbers")
}
