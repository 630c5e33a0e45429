//! Who and what a record speaks of: tasks, containers, groups, devices, culprits.

use schemars::JsonSchema;
use serde::Serialize;

/// A thread.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub(crate) struct Task {
    /// The process; null where only the thread is known.
    pub(crate) pid: Option<u32>,
    /// The thread; null where the entry is all threads of one name in a process.
    pub(crate) tid: Option<u32>,
    /// The thread's name; null where it was gone before it could be read.
    pub(crate) comm: Option<String>,
    /// The name of the process's first thread; null where it is not known.
    pub(crate) process_comm: Option<String>,
    /// When the thread started, ns since boot; null where it is not known. Numbers of threads are used again.
    pub(crate) start_ns: Option<u64>,
    /// The path of its cgroup, from the host's root; null where it is not known.
    pub(crate) cgroup: Option<String>,
    /// Its container; null where it is in none, or it is not known.
    pub(crate) container: Option<Container>,
}

impl Task {
    /// `comm[412]`; the thread's number where it is known. Not yet safe for a terminal.
    pub(crate) fn label(&self) -> String {
        let comm = self.comm.as_deref().unwrap_or("?");
        self.tid.or(self.pid).map_or_else(|| comm.to_owned(), |number| format!("{comm}[{number}]"))
    }
}

/// A container.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub(crate) struct Container {
    /// Its full id, or the name of a machine or pod that has no other.
    pub(crate) id: String,
    /// Its name; null where no state file of its engine tells it.
    pub(crate) name: Option<String>,
    /// What runs it: `docker`, `containerd`, `cri-o`, `podman`, `kubernetes`, `lxc`, `nspawn`; null where its cgroup does not
    /// say.
    pub(crate) runtime: Option<&'static str>,
    /// Its Kubernetes pod; null where it is in none, or no state file tells it.
    pub(crate) pod: Option<String>,
    /// The pod's namespace; null likewise.
    pub(crate) namespace: Option<String>,
}

impl Container {
    /// Its name, or the beginning of its id.
    pub(crate) fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("{:.12}", self.id))
    }
}

/// Tasks that a record takes together. What is not of its `type` is null.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub(crate) struct Group {
    /// What they have in common.
    #[serde(rename = "type")]
    pub(crate) kind: GroupType,
    /// The container.
    pub(crate) container: Option<Container>,
    /// The cgroup's path, from the host's root; of a container or unit that of its cgroup.
    pub(crate) cgroup: Option<String>,
    /// The inode number of the cgroup's directory, which the kernel calls its id.
    pub(crate) cgroup_id: Option<u64>,
    /// The threads' name.
    pub(crate) comm: Option<String>,
    /// The process.
    pub(crate) pid: Option<u32>,
    /// The thread.
    pub(crate) tid: Option<u32>,
    /// When the process or thread started, ns since boot; null where it is not known.
    pub(crate) start_ns: Option<u64>,
}

impl Group {
    /// Of this type, with nothing filled in.
    pub(crate) fn of(kind: GroupType) -> Group {
        Group {
            kind,
            container: None,
            cgroup: None,
            cgroup_id: None,
            comm: None,
            pid: None,
            tid: None,
            start_ns: None,
        }
    }

    /// As people say it: `web`, `python3[1234]`, `container api`, `nginx.service`. Not yet safe for a terminal.
    pub(crate) fn label(&self) -> String {
        let comm = || self.comm.clone().unwrap_or_else(|| "?".to_owned());
        let numbered = |number: Option<u32>| match number {
            Some(number) => format!("{}[{number}]", comm()),
            None => comm(),
        };
        match self.kind {
            GroupType::Container => {
                let name = self.container.as_ref().map_or_else(|| "?".to_owned(), Container::label);
                format!("container {name}")
            }
            GroupType::Unit | GroupType::Cgroup => match (&self.cgroup, self.cgroup_id) {
                (Some(path), _) if self.kind == GroupType::Unit => {
                    path.rsplit('/').next().unwrap_or_default().to_owned()
                }
                (Some(path), _) => path.clone(),
                (None, Some(id)) => format!("cgroup {id}"),
                (None, None) => "a cgroup".to_owned(),
            },
            GroupType::Kernel => "kernel threads".to_owned(),
            GroupType::Process => numbered(self.pid),
            GroupType::Thread => numbered(self.tid),
            GroupType::Comm => comm(),
            GroupType::Cpu => "a CPU".to_owned(),
            GroupType::Rest => "all others".to_owned(),
        }
    }
}

/// What the tasks of a group have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum GroupType {
    /// They are of one container.
    Container,
    /// They are of one systemd unit.
    Unit,
    /// They are in one cgroup.
    Cgroup,
    /// They are kernel threads.
    Kernel,
    /// They are of one process.
    Process,
    /// It is one thread.
    Thread,
    /// They have one name.
    Comm,
    /// They waited for one CPU.
    Cpu,
    /// They found no room among the others: all of them together.
    Rest,
}

/// A block device.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
pub(crate) struct Device {
    /// `MAJOR:MINOR`.
    pub(crate) id: String,
    /// Its name in `/sys/dev/block`, such as `vda1`; null where it has none.
    pub(crate) name: Option<String>,
}

impl Device {
    /// Its name, else its number.
    pub(crate) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

/// Who had what the victim waited for.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Culprit {
    /// What was waited for.
    pub(crate) resource: Resource,
    /// How it is known.
    pub(crate) basis: Basis,
    /// The group that had it; null where only a task is named, and where it is not known who had it.
    pub(crate) group: Option<Group>,
    /// The task that had it, or had most of it; null where no single one is known.
    pub(crate) task: Option<Task>,
    /// For how long, ns.
    pub(crate) ns: u64,
    /// Its share of the victim's time, 0 to 1.
    pub(crate) share: f64,
}

/// What a victim waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Resource {
    /// A CPU.
    Cpu,
    /// A block device.
    Device,
    /// A lock of the kernel.
    Lock,
    /// Memory.
    Memory,
}

/// How a culprit is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Basis {
    /// It had the resource while the victim waited. Of a device, in proportion to the time of its requests there.
    Overlap,
    /// It owned the resource when the victim went to sleep for it.
    Owner,
    /// Its charged memory grew while the victim waited; in proportion to how much.
    Growth,
}

/// What was cut from a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Omitted {
    /// How many entries.
    pub(crate) count: u64,
    /// Their time, ns; null where it is not time that the list holds.
    pub(crate) ns: Option<u64>,
}
