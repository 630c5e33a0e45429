//! What a session looks at: the whole machine, a cgroup, a container, a unit, processes, or a command.

mod cgroup;
mod command;
mod container;
mod hierarchy;
mod names;
mod paths;
mod process;
#[cfg(test)]
mod tests;
mod unit;

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::exit::Failure;
pub(crate) use cgroup::Cgroup;
pub(crate) use command::{Held, Output, Running};
pub(crate) use container::Container;
pub(crate) use hierarchy::{Hierarchies, Hierarchy, Roots};
pub(crate) use paths::CgroupNames;
pub(crate) use process::with_descendants;
pub(crate) use unit::Unit;

/// The flags that choose a target; at most one.
#[derive(Args, Clone, Debug, Default)]
#[group(multiple = false)]
pub(crate) struct TargetArgs {
    /// Only tasks in this cgroup and below it: a path, or an id
    #[arg(long, value_name = "PATH|ID")]
    pub(crate) cgroup: Option<String>,
    /// Only tasks of this container: Docker, containerd, CRI-O, Podman, Kubernetes, LXC or nspawn
    #[arg(long, value_name = "NAME|ID-PREFIX")]
    pub(crate) container: Option<String>,
    /// Only tasks of this systemd unit
    #[arg(long, value_name = "NAME")]
    pub(crate) unit: Option<String>,
    /// Only this process and its descendants (repeatable)
    #[arg(short, long = "pid", value_name = "PID")]
    pub(crate) pids: Vec<u32>,
    /// Only threads of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) comm: Option<String>,
    /// Run a command, and look at it and its descendants until it ends
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// What a session looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Every task.
    System,
    /// Tasks in a cgroup and below it.
    Cgroup(Cgroup),
    /// Tasks in a container.
    Container(Container),
    /// Tasks in a systemd unit.
    Unit(Unit),
    /// Processes, and their descendants; see [`with_descendants`].
    Pids(Vec<u32>),
    /// Threads of this name.
    Comm(String),
    /// A command that the session runs, and its descendants; see [`Held`].
    Command(Vec<OsString>),
}

impl Target {
    /// Finds what the flags name. [`Failure::Usage`] where it does not exist, is ambiguous, or cannot exist.
    pub(crate) fn resolve(args: &TargetArgs, roots: &Roots) -> Result<Target> {
        let hierarchies = || Hierarchies::read(roots);
        if let Some(cgroup) = &args.cgroup {
            return Cgroup::find(&hierarchies()?, cgroup).map(Target::Cgroup);
        }
        if let Some(container) = &args.container {
            return Container::find(&hierarchies()?, roots, container).map(Target::Container);
        }
        if let Some(unit) = &args.unit {
            return Unit::find(&hierarchies()?, unit).map(Target::Unit);
        }
        if !args.pids.is_empty() {
            process::check_pids(&args.pids)?;
            return Ok(Target::Pids(args.pids.clone()));
        }
        if let Some(comm) = &args.comm {
            process::check_comm(comm)?;
            return Ok(Target::Comm(comm.clone()));
        }
        if args.command.first().is_some_and(|program| program.is_empty()) {
            return Err(Failure::Usage("expected a command after --".into()).into());
        }
        Ok(if args.command.is_empty() { Target::System } else { Target::Command(args.command.clone()) })
    }

    /// The cgroup by which the target's tasks are told apart, where it is one.
    pub(crate) fn cgroup(&self) -> Option<&Cgroup> {
        match self {
            Target::Cgroup(cgroup) => Some(cgroup),
            Target::Container(container) => Some(&container.cgroup),
            Target::Unit(unit) => Some(&unit.cgroup),
            _ => None,
        }
    }

    /// Keeps an eye on the target. A command is watched through [`Running`] instead.
    pub(crate) fn watch(&self) -> Result<Watch> {
        Ok(Watch(match self {
            Target::Pids(pids) => Watched::Processes(process::Held::new(pids)?),
            _ => self.cgroup().cloned().map_or(Watched::Nothing, Watched::Cgroup),
        }))
    }
}

/// Tells when a target is no more.
pub(crate) struct Watch(Watched);

enum Watched {
    Nothing,
    Cgroup(Cgroup),
    Processes(process::Held),
}

impl Watch {
    /// Whether the cgroup was removed, or all processes that were named have exited. Costs a system call or so.
    pub(crate) fn ended(&mut self) -> bool {
        match &mut self.0 {
            Watched::Nothing => false,
            Watched::Cgroup(cgroup) => !cgroup.exists(),
            Watched::Processes(processes) => processes.gone(),
        }
    }
}
