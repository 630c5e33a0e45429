//! What a session looks at: the whole machine, a cgroup, a container, a unit, processes, or a command.

mod cgroup;
mod command;
mod container;
#[cfg(test)]
mod container_tests;
mod hierarchy;
mod identity;
mod label;
mod members;
mod names;
mod paths;
mod process;
mod state_file;
#[cfg(test)]
mod tests;
mod unit;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use anyhow::Result;

use crate::cli::Selection;
use crate::output::record;
use crate::output::text::escape;
pub(crate) use cgroup::Cgroup;
pub(crate) use command::{Held, Output, Running};
pub(crate) use container::Container;
pub(crate) use hierarchy::{Hierarchies, Hierarchy, Roots};
#[cfg_attr(
    not(test),
    expect(unused_imports, reason = "for records, whose tasks and groups name their containers")
)]
pub(crate) use identity::{ContainerIdentity, ContainerNames};
pub(crate) use members::{STAYS, Thread, staying, threads};
pub(crate) use paths::CgroupNames;
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
        let place = |cgroup: &Cgroup| (cgroup.path.clone(), cgroup.id);
        match self {
            Target::System => record::Target::System,
            Target::Cgroup(cgroup) => {
                let (path, id) = place(cgroup);
                record::Target::Cgroup { path, id }
            }
            Target::Container(Container { identity, cgroup }) => {
                let (path, id) = place(cgroup);
                record::Target::Container { container: identity.id.clone(), path, id }
            }
            Target::Unit(Unit { name, cgroup }) => {
                let (path, id) = place(cgroup);
                record::Target::Unit { unit: name.clone(), path, id }
            }
            Target::Pids(pids) => record::Target::Pid { pid: pids.clone() },
            Target::Comm(comm) => record::Target::Comm { comm: escape(comm) },
            Target::Command(argv) => {
                let command = argv.iter().map(|arg| escape(arg.as_bytes())).collect();
                record::Target::Command { command, pid: pid.unwrap_or_default() }
            }
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
