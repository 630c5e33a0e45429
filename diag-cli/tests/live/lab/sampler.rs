//! Truth that needs no probe: again and again, where do a process's threads wait?

use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::workload::prefer_this_thread;

/// How often to look. A look takes a few microseconds for each thread.
const PERIOD: Duration = Duration::from_millis(2);

/// Looks at the kernel stacks of a process's threads until it is told to stop.
pub(crate) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Sampler {
    /// Starts to add up how long the threads of `pid` but its first sleep in one of these kernel functions. Each thread
    /// counts by itself. Who only waits for a CPU does not sleep. A name with `^` before it has to be the innermost; the kernel leaves its own waiting and
    /// locking functions out of these stacks, so that who waits for a lock appears in the function that takes it.
    pub(crate) fn watch(pid: u32, functions: &'static [&'static str]) -> Sampler {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            prefer_this_thread();
            let mut waited = Duration::ZERO;
            let mut last = Instant::now();
            while !told.load(Ordering::Relaxed) {
                thread::sleep(PERIOD);
                let passed = last.elapsed();
                last = Instant::now();
                let inside = threads(pid).filter(|stack| functions.iter().any(|name| is_in(stack, name)));
                waited += passed * inside.count() as u32;
            }
            waited
        });
        Sampler { stop, thread }
    }

    /// Stops looking, and says how long they were.
    pub(crate) fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("looking does not panic")
    }
}

fn is_in(stack: &str, name: &str) -> bool {
    let mut functions = stack.lines().filter_map(|line| line.split([' ', '+']).nth(1));
    match name.strip_prefix('^') {
        Some(innermost) => functions.next() == Some(innermost),
        None => functions.any(|function| function == name),
    }
}

/// The kernel stacks of a process's threads but the first, where they sleep, as text.
fn threads(pid: u32) -> impl Iterator<Item = String> {
    let first = pid.to_string();
    let tasks = PathBuf::from(format!("/proc/{pid}/task"));
    let entries = fs::read_dir(tasks).into_iter().flatten().flatten();
    entries.filter(move |entry| entry.file_name().to_str() != Some(&first)).filter_map(|entry| {
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        // The state comes after the name, which may have any character but ends with the last bracket.
        let sleeps = !stat.rsplit_once(") ")?.1.starts_with('R');
        if sleeps { fs::read_to_string(entry.path().join("stack")).ok() } else { None }
    })
}
