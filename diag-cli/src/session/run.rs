//! A session from the command line to the exit status, whichever tool it is for.

use std::{fs, os::unix::fs::MetadataExt as _, process::ExitCode, time::Duration};

use anyhow::Result;
use aya::EbpfLoader;

use super::{
    Command, Session, Step,
    reporter::{Reporter, Scene},
    signals::Signals,
    tool::{KernelSide, Tool},
    untraced,
};
use crate::{
    arch,
    ebpf::{
        limits,
        log::{self, KernelLog},
        object::{self, Kernel, Object, Value, Wanted},
        preemption::{self, Preemption},
        privileges,
        probes::{self, Attached},
        scope::{self, Followed},
    },
    exit::Failure,
    output::{
        record::{self, Unavailable},
        streams,
    },
    target::{CgroupNames, Held, Hierarchies, Inherited, Output, Roots, Target, with_descendants},
};

/// Traces with a tool, and reports.
pub(crate) fn run<T: Tool>(args: &T::Args) -> Result<ExitCode> {
    let roots = Roots::default();
    let session = T::session_args(args);
    let target = Target::resolve(session.selection(), &roots)?;
    // Before any other thread: all of them are to leave the signals alone.
    let signals = Signals::listen()?;
    streams::queue_notes()?;
    let traced = privileges::check().and_then(|()| {
        let open_files = limits::raise_open_files();
        privileges::lift_memlock_limit();
        let masks = signals.masks();
        let inherited = Inherited { blocked: masks.original, held_back: masks.ending, open_files };
        trace::<T>(args, &target, &roots, inherited, signals.clone()).map_err(limits::explain)
    });
    traced.or_else(|error| untraced::watch::<T>(args, &target, &roots, signals, error))
}

fn trace<T: Tool>(
    args: &T::Args,
    target: &Target,
    roots: &Roots,
    inherited: Inherited,
    signals: Signals,
) -> Result<ExitCode> {
    let probe;
    // Before the kernel's types are read here: it takes more memory than they do, and for a moment.
    let mut loader = object::loader();
    let kernel = Kernel::read(T::session_args(args).btf.as_deref())?;
    let session_args = T::session_args(args);
    let (cgroups, no_cgroups) = cgroup_names(target, T::CONTROLLER, roots);
    process_ids_are_global(target)?;
    let existing = probes::existing(&kernel, T::KERNEL_SIDE.probes)?;
    let verbose = session_args.verbose > 1;
    let mut globals = scope::globals(target, &kernel)?;
    if let Some(cgroups) = &cgroups {
        let hierarchies = [("NAMES_SUBSYS", Some(cgroups.hierarchy())), ("NAMES_SECOND", cgroups.second())];
        for (global, hierarchy) in hierarchies {
            if let Some(hierarchy) = hierarchy {
                globals.push((global, Value::U32(hierarchy.subsystem(&kernel.types)?)));
            }
        }
    }
    probe = preemption::Probe::of(&kernel.types);
    let preemption = Preemption::ask(probe.as_ref(), &mut loader);
    globals.push(("HOLD_CPU", Value::U32(u32::from(preemption.is_held()))));
    let mut object = load::<T>(args, kernel, &existing, globals, verbose, loader)?;
    let mut followed = Followed::of(&mut object.ebpf)?;
    let tool = T::open(args, target, &mut object)?;
    let log = if verbose { Some(KernelLog::of(&mut object.ebpf)?) } else { None };
    let held = match target {
        Target::Command(argv) => {
            let output = if session_args.json { Output::Errors } else { Output::Shared };
            Some(Held::fork(argv, output, inherited)?)
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
    let mut attached = attach(&mut object, &existing, &T::KERNEL_SIDE)?;
    attached.unavailable.extend(no_cgroups);
    object.settle();
    // Children that were there before the fork probe was; later ones join by themselves.
    if matches!(target, Target::Pids(_)) {
        followed.add(&with_descendants(&pids)?)?;
    }
    let scene = Scene {
        args: session_args,
        settings: settings::<T>(args),
        target: target.record(held.as_ref().map(Held::pid)),
        selected: target,
        followed,
        attached,
        preemption,
        cgroups,
    };
    let mut reporter = Reporter::new(scene, tool, object, log)?;
    let began = reporter.begin()?;
    let command = match held {
        None => Command::None,
        Some(_) if signals.first().is_some() => Command::NotBegun,
        Some(held) => Command::Running(held.release()?),
    };
    if let Command::Running(command) = &command
        && !session_args.detach
    {
        signals.take_along(command.process().clone());
    }
    let mut session = Session::new(began, session_args, watch, command, signals);
    follow(&mut session, reporter).or_else(|error| session.outlast(error))
}

/// Follows a session to its end, and says what was found.
fn follow<T: Tool>(session: &mut Session, mut reporter: Reporter<'_, T>) -> Result<ExitCode> {
    reporter.clear()?;
    reporter.open()?;
    reporter.take_down_cgroups();
    let end = loop {
        match session.next(reporter.output())? {
            Step::Poll => reporter.poll()?,
            Step::Interval => reporter.interval()?,
            Step::End(end) => break end,
        }
    };
    reporter.end(end.ended())?;
    let status = session.conclude(end)?;
    let own = reporter.finish(|| session.signals.first().is_some())?;
    Ok(match session.command {
        Command::None => own.unwrap_or(status),
        _ => status,
    })
}

/// What was asked for.
pub(super) fn settings<T: Tool>(args: &T::Args) -> record::Settings {
    let session = T::session_args(args);
    record::Settings {
        by: T::by(args),
        interval_ns: session.interval.map(nanoseconds),
        duration_ns: session.duration.map(nanoseconds),
        thresholds: T::thresholds(args),
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// The names of cgroups and containers, or why there are none.
pub(super) fn cgroup_names(
    target: &Target,
    controller: Option<&str>,
    roots: &Roots,
) -> (Option<CgroupNames>, Option<Unavailable>) {
    let why = match Hierarchies::read(roots) {
        Ok(all) => {
            let targets = target.cgroup().map(|cgroup| &cgroup.hierarchy);
            match CgroupNames::of(roots, all, targets, controller) {
                Some(names) => return (Some(names), None),
                None => "no cgroup hierarchy is mounted".to_owned(),
            }
        }
        Err(error) => format!("{error:#}"),
    };
    let effect = "no task's cgroup or container is named".to_owned();
    (None, Some(Unavailable { name: "cgroups".to_owned(), why, effect }))
}

fn load<T: Tool>(
    args: &T::Args,
    kernel: Kernel,
    existing: &[&'static str],
    globals: Vec<(&'static str, Value)>,
    verbose: bool,
    loader: EbpfLoader<'_>,
) -> Result<Object> {
    let mut settings = T::settings(args, &kernel)?;
    settings.globals.extend(globals);
    settings.globals.extend(arch::globals());
    settings.globals.push(log::level(verbose));
    let side = T::KERNEL_SIDE;
    let wanted = Wanted {
        settings: &settings,
        probes: side.probes,
        existing,
        fields: side
            .fields_missed
            .iter()
            .map(|missed| missed.global)
            .chain(side.fields_read.iter().copied())
            .collect(),
        logs: verbose,
    };
    side.objects.load(kernel, &wanted, loader)
}

/// Attaches the probes, and says what the answer lacks on this kernel.
fn attach(object: &mut Object, existing: &[&str], side: &KernelSide) -> Result<Attached> {
    let mut attached = probes::attach(object, existing, side.probes)?;
    for missed in side.fields_missed {
        if !object.has(missed.global) {
            attached.unavailable.push(Unavailable {
                name: missed.name.to_owned(),
                why: missed.why.to_owned(),
                effect: missed.effect.to_owned(),
            });
        }
    }
    Ok(attached)
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
