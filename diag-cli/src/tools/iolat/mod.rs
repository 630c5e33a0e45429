//! `osdiag iolat`: why file I/O is slow.

mod advice;
mod args;
mod attach;
mod collect;
mod explain;
mod model;
mod pending;
mod record;
mod render;
mod report;
#[cfg(test)]
mod sample;
mod slowest;
mod verdict;
mod waits;

use std::{fs, os::unix::fs::MetadataExt as _, process::ExitCode};

use anyhow::Result;

use self::report::Reporter;
pub(crate) use self::{args::Args, record::Iolat as Body};
use crate::{
    ebpf::{object::Kernel, privileges, scope},
    exit::Failure,
    output::record::Kind,
    session::{End, Session, Step},
    target::{CgroupNames, Held, Hierarchies, Output, Roots, Target, with_descendants},
};

/// Traces, and reports.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let roots = Roots::default();
    let target = Target::resolve(args.session.selection(), &roots)?;
    privileges::check()?;
    privileges::lift_memlock_limit();
    let kernel = Kernel::read(args.btf.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(trace(args, &target, &roots, kernel))
}

async fn trace(args: &Args, target: &Target, roots: &Roots, kernel: Kernel) -> Result<ExitCode> {
    let hierarchy = match target.cgroup() {
        Some(cgroup) => Some(cgroup.hierarchy.clone()),
        None => Hierarchies::read(roots).ok().and_then(|all| all.main().cloned()),
    };
    process_ids_are_global(target)?;
    let globals = scope::globals(target, hierarchy.as_ref(), &kernel)?;
    let verbose = args.session.verbose > 1;
    let attach::Loaded { mut tracing, existing, mut followed } =
        attach::load(kernel, globals, args.slowest_in_record(), verbose)?;
    let held = match target {
        Target::Command(argv) => {
            let output = if args.session.json { Output::Errors } else { Output::Shared };
            Some(Held::fork(argv, output)?)
        }
        _ => None,
    };
    let pids: Vec<u32> = match (target, &held) {
        (Target::Pids(pids), _) => pids.clone(),
        (_, Some(held)) => vec![held.pid()],
        _ => Vec::new(),
    };
    followed.add(&pids)?;
    let watch = target.watch()?;
    let attached = attach::attach(&mut tracing.object, &existing)?;
    tracing.object.settle();
    // Children that were there before the fork probe was; later ones join by themselves.
    if matches!(target, Target::Pids(_)) {
        followed.add(&with_descendants(&pids)?)?;
    }
    drop(followed);
    let cgroups = hierarchy.map(CgroupNames::new);
    let recorded = target.record(held.as_ref().map(Held::pid));
    let mut reporter = Reporter::new(args, target, recorded, attached, tracing, cgroups);
    let command = held.map(Held::release).transpose()?;
    let mut session = Session::begin(args.session.duration, args.session.interval, watch, command)?;
    reporter.begin()?;
    let end = loop {
        match session.next().await? {
            Step::Poll => reporter.poll(),
            Step::Interval => reporter.report(Kind::Interval)?,
            Step::End(end) => break end,
        }
    };
    reporter.finish()?;
    Ok(match end {
        End::Command(status) => ExitCode::from(status),
        End::Duration | End::Signal | End::Target => ExitCode::SUCCESS,
    })
}

/// The inode number of the initial PID namespace (`PROC_PID_INIT_INO`, include/linux/proc_ns.h, 6.18).
const INITIAL_PID_NAMESPACE: u64 = 0xefff_fffc;

/// The kernel side knows processes by their ids in the initial namespace, which nobody can look up from within another.
fn process_ids_are_global(target: &Target) -> Result<()> {
    let by_process = matches!(target, Target::Pids(_) | Target::Command(_));
    let namespace = fs::metadata("/proc/self/ns/pid").map(|namespace| namespace.ino());
    if by_process && namespace.is_ok_and(|inode| inode != INITIAL_PID_NAMESPACE) {
        let why = "process ids of this PID namespace mean nothing to the kernel side; trace from the host, or by --comm or --cgroup";
        return Err(Failure::Unsupported(why.to_owned()).into());
    }
    Ok(())
}
