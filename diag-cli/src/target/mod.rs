//! What a session looks at: the whole machine, a cgroup, a container, a unit, processes, or a command.

mod cgroup;
mod cgroups;
mod command;
mod container;
#[cfg(test)]
mod container_tests;
mod hierarchy;
mod identity;
mod label;
pub(crate) mod limit;
mod members;
mod names;
mod paths;
pub(crate) mod places;
mod process;
mod state_file;
#[cfg(test)]
pub(crate) mod tests;
mod unit;
mod unnamed;

use std::ffi::OsString;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;

use anyhow::Result;

use crate::cli::Selection;
use crate::output::record::{self, TargetKind, target::Ended};
use crate::output::text::escape;
pub(crate) use cgroup::Cgroup;
pub(crate) use cgroups::{CgroupNames, Home};
pub(crate) use command::{GRACE, Held, Inherited, Output, Running};
pub(crate) use container::Container;
pub(crate) use hierarchy::{Hierarchies, Hierarchy, Roots};
pub(crate) use limit::LimitFile;
pub(crate) use members::{Members, STAYS, Thread, staying};
pub(crate) use process::with_descendants;
pub(crate) use unit::Unit;

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
    Comm(Vec<u8>),
    /// A command that the session runs, and its descendants; see [`Held`].
    Command(Vec<OsString>),
}

impl Target {
    /// Finds what the command line names. [`Failure::Usage`](crate::exit::Failure::Usage) where it does not exist or is
    /// ambiguous.
    pub(crate) fn resolve(selection: Selection<'_>, roots: &Roots) -> Result<Target> {
        let hierarchies = || Hierarchies::read(roots);
        Ok(match selection {
            Selection::System => Target::System,
            Selection::Cgroup(wanted) => Target::Cgroup(Cgroup::find(&hierarchies()?, wanted)?),
            Selection::Container(wanted) => {
                Target::Container(Container::find(&hierarchies()?, roots, wanted)?)
            }
            Selection::Unit(wanted) => Target::Unit(Unit::find(&hierarchies()?, wanted)?),
            Selection::Pids(pids) => {
                process::check_pids(pids)?;
                Target::Pids(pids.to_vec())
            }
            Selection::Comm(comm) => Target::Comm(comm.to_owned()),
            Selection::Command(argv) => Target::Command(argv.to_vec()),
        })
    }

    /// What records say of it; of a command also the process that is it.
    pub(crate) fn record(&self, pid: Option<u32>) -> record::Target {
        let of = record::Target::of;
        let within = |kind, cgroup: &Cgroup| record::Target {
            cgroup: Some(cgroup.path.clone()),
            cgroup_id: Some(cgroup.id),
            ..of(kind)
        };
        match self {
            Target::System => of(TargetKind::System),
            Target::Cgroup(cgroup) => within(TargetKind::Cgroup, cgroup),
            Target::Container(Container { identity, cgroup }) => {
                record::Target { container: Some(identity.clone()), ..within(TargetKind::Container, cgroup) }
            }
            Target::Unit(Unit { name, cgroup }) => {
                record::Target { unit: Some(name.clone()), ..within(TargetKind::Unit, cgroup) }
            }
            Target::Pids(pids) => record::Target { pids: Some(pids.clone()), ..of(TargetKind::Pid) },
            Target::Comm(comm) => record::Target { comm: Some(escape(comm)), ..of(TargetKind::Comm) },
            Target::Command(argv) => record::Target {
                command: Some(argv.iter().map(|arg| escape(arg.as_bytes())).collect()),
                pids: pid.map(|pid| vec![pid]),
                ..of(TargetKind::Command)
            },
        }
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
            _ => self.cgroup().map_or(Watched::Nothing, |cgroup| Watched::Cgroup(cgroup::Kept::new(cgroup))),
        }))
    }
}

/// Tells when a target is no more.
pub(crate) struct Watch(Watched);

enum Watched {
    Nothing,
    Cgroup(cgroup::Kept),
    Processes(process::Held),
}

impl Watch {
    /// Whether the cgroup was removed, or all processes that were named have exited. Costs a system call or so.
    pub(crate) fn ended(&mut self) -> Option<Ended> {
        match &mut self.0 {
            Watched::Nothing => None,
            Watched::Cgroup(cgroup) => cgroup.removed().then_some(Ended::CgroupRemoved),
            Watched::Processes(processes) => processes.gone().then_some(Ended::ProcessesExited),
        }
    }

    /// What is ready to be read once it is worth a look whether the target has ended. A cgroup has nothing of that kind.
    pub(crate) fn ready(&self) -> Vec<BorrowedFd<'_>> {
        match &self.0 {
            Watched::Nothing | Watched::Cgroup(_) => Vec::new(),
            Watched::Processes(processes) => processes.processes().collect(),
        }
    }
}
