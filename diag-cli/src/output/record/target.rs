//! Which tasks a session looks at.

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

use super::parties::Container;
use crate::output::text;

/// Which tasks a session looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Target {
    /// How they were asked for.
    pub(crate) kind: TargetKind,
    /// The path of the cgroup within its hierarchy: of a cgroup, a container, a unit; else null.
    pub(crate) cgroup: Option<String>,
    /// The inode number of the cgroup's directory, which the kernel calls its id; else null.
    pub(crate) cgroup_id: Option<u64>,
    /// The container; else null.
    pub(crate) container: Option<Container>,
    /// The systemd unit, with its suffix; else null.
    pub(crate) unit: Option<String>,
    /// The processes that were asked for, or the command's; else null.
    pub(crate) pids: Option<Vec<u32>>,
    /// The threads' name; else null.
    pub(crate) comm: Option<String>,
    /// The command and its arguments; else null.
    pub(crate) command: Option<Vec<String>>,
    /// Why the target ended the session; null where it did not.
    pub(crate) ended: Option<Ended>,
}

/// How a target is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TargetKind {
    /// Every task.
    System,
    /// The tasks in a cgroup and below it.
    Cgroup,
    /// The tasks of a container.
    Container,
    /// The tasks of a systemd unit.
    Unit,
    /// Processes, and those that they fork during the session.
    Pid,
    /// The threads of one name.
    Comm,
    /// A command that the session ran, and its children.
    Command,
}

/// Why a target ended a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Ended {
    /// Its cgroup was removed.
    CgroupRemoved,
    /// All of its processes have exited.
    ProcessesExited,
    /// The command has exited.
    CommandExited,
}

impl Target {
    /// Of this kind, with nothing filled in.
    pub(crate) fn of(kind: TargetKind) -> Target {
        Target {
            kind,
            cgroup: None,
            cgroup_id: None,
            container: None,
            unit: None,
            pids: None,
            comm: None,
            command: None,
            ended: None,
        }
    }
}

/// Columns that a command gets in a sentence.
const COMMAND_COLUMNS: usize = 40;

impl fmt::Display for Target {
    /// As people say it: `container web`; not yet safe for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        match self.kind {
            TargetKind::System => write!(f, "the whole system"),
            TargetKind::Cgroup => write!(f, "cgroup {}", word(&self.cgroup)),
            TargetKind::Container => {
                let name = self.container.as_ref().map(Container::label).unwrap_or_default();
                write!(f, "container {name}")
            }
            TargetKind::Unit => write!(f, "unit {}", word(&self.unit)),
            TargetKind::Pid => {
                let pids: Vec<String> = self.pids.iter().flatten().map(u32::to_string).collect();
                let noun = if pids.len() == 1 { "process" } else { "processes" };
                write!(f, "{noun} {}", pids.join(", "))
            }
            TargetKind::Comm => write!(f, "threads named {}", word(&self.comm)),
            TargetKind::Command => {
                let command = self.command.as_deref().unwrap_or_default().join(" ");
                write!(f, "command '{}'", text::shorten(&command, COMMAND_COLUMNS))
            }
        }
    }
}
