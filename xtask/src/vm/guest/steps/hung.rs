//! The runs of `osdiag hung`.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::ioctl::{NoArg, Opcode, ioctl};

use crate::init::MOUNT;
use crate::report::{Step, Truth, step};
use crate::tool::Tool;

/// `_IOWR('X', 119, int)` and `_IOWR('X', 120, int)` (include/uapi/linux/fs.h).
pub(crate) const FIFREEZE: Opcode = 0xc004_5877;
pub(crate) const FITHAW: Opcode = 0xc004_5878;

/// How long the writers are stuck.
const STUCK: Duration = Duration::from_secs(8);

/// Makes one of the tool's steps.
pub(super) fn run(tool: &str, name: &str) -> Result<Step> {
    match name {
        step::SCHEMA => super::schema(tool),
        step::STUCK => stuck(tool, name, &[]),
        step::RAW => stuck(tool, name, &[("OSDIAG_HOOKS", "raw")]),
        _ => bail!("there is no such step"),
    }
}

/// `osdiag hung --json --threshold 1s` while two threads write through one descriptor to a frozen file system: one waits for
/// the file system, the other for the first one's lock of the position.
pub(crate) fn stuck(tool: &str, name: &str, environment: &[(&str, &str)]) -> Result<Step> {
    let file = Arc::new(File::create(format!("{MOUNT}/stuck"))?);
    let mut running = Tool::start(&[tool, "--json", "--threshold", "1s", "-i", "500ms"], environment)?;
    if !running.wait_for_record()? {
        return running.finish(tool, name);
    }
    freezer::<FIFREEZE>()?;
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let file = Arc::clone(&file);
            sleep(Duration::from_millis(200));
            thread::spawn(move || {
                let start = Instant::now();
                let wrote = (&*file).write_all(b"stuck");
                (start.elapsed(), wrote)
            })
        })
        .collect();
    sleep(STUCK);
    freezer::<FITHAW>()?;
    let mut truth = Truth { op: "write".to_owned(), ..Truth::default() };
    for writer in writers {
        let (took, wrote) = writer.join().ok().context("a writer panicked")?;
        wrote?;
        truth.count += 1;
        truth.sum_ns += u64::try_from(took.as_nanos())?;
    }
    sleep(Duration::from_secs(1));
    running.interrupt()?;
    let mut step = running.finish(tool, name)?;
    step.truth = vec![truth];
    Ok(step)
}

/// Freezes or thaws the disk's file system.
pub(crate) fn freezer<const REQUEST: Opcode>() -> Result<()> {
    let directory = File::open(MOUNT)?;
    // SAFETY: neither request looks at its argument.
    let request = unsafe { NoArg::<REQUEST>::new() };
    // SAFETY: the requests are for a file system, which the descriptor is on.
    unsafe { ioctl(directory, request) }.context("cannot freeze or thaw")
}
