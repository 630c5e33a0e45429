//! What the guest tells the host, one JSON line each.

use serde::{Deserialize, Serialize};

/// A line on the guest's report channel.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The guest is up, with its disk.
    Booted {
        /// What `uname -r` says.
        kernel: String,
    },
    /// The names of the tracepoints that this kernel has.
    Tracepoints(Vec<String>),
    /// A step has run.
    Step(Step),
    /// osdiag has run beside a fault.
    Trial(Trial),
    /// A step could not be made.
    Broken {
        /// Its tool and name; `boot` before the first.
        step: String,
        /// What was in the way.
        why: String,
    },
    /// Every step has run.
    Done,
}

/// A run of osdiag, with what the workload under it knows of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Step {
    /// Which run this was, of those of its tool.
    pub(crate) name: String,
    /// The tool of osdiag that ran.
    pub(crate) tool: String,
    /// The exit status; none when a signal or the time limit ended it.
    pub(crate) status: Option<i32>,
    /// How long it took.
    pub(crate) elapsed_ms: u128,
    /// What it wrote, as far as the serial line is fast enough.
    pub(crate) stdout: String,
    /// The same for standard error.
    pub(crate) stderr: String,
    /// What the workload did, by its own count and clock.
    pub(crate) truth: Vec<Truth>,
}

/// A fault of [`fault::ALL`], and what osdiag said of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Trial {
    /// Its name.
    pub(crate) fault: String,
    /// The tool that had to name it.
    pub(crate) tool: String,
    /// Where its cgroup is: one of the fault's `places`.
    pub(crate) place: String,
    /// What came of it.
    pub(crate) ending: Ending,
}

/// How a trial ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ending {
    /// The fault happened.
    Ran {
        /// What shows that, none of it from osdiag.
        proof: String,
        /// The run of osdiag.
        run: Step,
    },
    /// This kernel cannot have the fault.
    Impossible(String),
    /// osdiag did not come to trace, so the fault was not made.
    Untraced(String),
    /// The fault did not happen.
    Broken(String),
}

/// All calls of one operation, as their caller saw them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Truth {
    /// The system call's name.
    pub(crate) op: String,
    /// How many calls.
    pub(crate) count: u64,
    /// How many bytes they moved.
    pub(crate) bytes: u64,
    /// The time in them, by the caller's clock around each.
    pub(crate) sum_ns: u64,
}

/// The steps that are made with each tool, in their order.
pub(crate) mod step {
    /// The JSON Schema of the records.
    pub(crate) const SCHEMA: &str = "schema";
    /// A command traced through the hooks that osdiag prefers.
    pub(crate) const COMMAND: &str = "command";
    /// The same, through the hooks that need no BTF.
    pub(crate) const RAW: &str = "raw hooks";
    /// A writer on a frozen file system, and one that waits for its lock.
    pub(crate) const STUCK: &str = "stuck";
    /// A cgroup traced while another is as busy.
    pub(crate) const CGROUP: &str = "cgroup";

    /// All of them, by tool.
    pub(crate) const ALL: &[(&str, &[&str])] = &[
        ("iolat", &[SCHEMA, COMMAND, RAW, CGROUP]),
        ("delays", &[SCHEMA, COMMAND, RAW]),
        ("runq", &[SCHEMA, COMMAND, RAW]),
        ("lock", &[SCHEMA, COMMAND, RAW]),
        ("hung", &[SCHEMA, STUCK, RAW]),
        ("vmexit", &[SCHEMA, COMMAND, RAW]),
    ];
}

/// Runs that are about nothing but loading.
pub(crate) mod load {
    /// What makes a guest do these rather than steps or faults.
    pub(crate) const GUEST: &str = "load";
    /// Everything, with the hooks that osdiag prefers.
    pub(crate) const PREFERRED: &str = "preferred hooks";
    /// The same with what programs have for a target, of which a cgroup needs most: without one, the verifier leaves it out.
    pub(crate) const CGROUP: &str = "target cgroup";

    /// Whether the hooks were raw ones, by what `-v` says.
    pub(crate) fn is_raw(stderr: &str) -> bool {
        stderr.lines().any(|line| line.starts_with("hooks: raw_tp"))
    }
}

/// The faults that osdiag has to name, in the order in which they are made.
pub(crate) mod fault {
    /// The unified hierarchy.
    pub(crate) const V2: &str = "v2";
    /// Hierarchies of one controller each.
    pub(crate) const V1: &str = "v1";
    /// No cgroup has to do with it.
    pub(crate) const NONE: &str = "none";

    /// A fault, and where it can be made.
    pub(crate) struct Fault {
        /// As what it has to be named; mostly a cause.
        pub(crate) name: &'static str,
        /// The tools that have to name it. They look at it at once.
        pub(crate) tools: &'static [&'static str],
        pub(crate) places: &'static [&'static str],
    }

    pub(crate) const RECLAIM: &str = "memory.reclaim";
    pub(crate) const MEMCG_RECLAIM: &str = "memory.memcg-reclaim";
    pub(crate) const MEMCG_THROTTLE: &str = "memory.memcg-throttle";
    pub(crate) const COMPACTION: &str = "memory.compaction";
    pub(crate) const DIRTY: &str = "memory.dirty-throttle";
    pub(crate) const FREEZE: &str = "filesystem.freeze";
    pub(crate) const INODE_LOCK: &str = "filesystem.inode-lock";
    pub(crate) const LOCK: &str = "filesystem.lock";
    pub(crate) const JOURNAL: &str = "filesystem.journal";
    pub(crate) const SERVER: &str = "filesystem.server";
    pub(crate) const FS_WAIT: &str = "filesystem.wait";
    pub(crate) const DEVICE: &str = "block.device";
    pub(crate) const QUEUE: &str = "block.queue";
    pub(crate) const BLOCK_THROTTLE: &str = "block.throttle";
    pub(crate) const BLOCK_WAIT: &str = "block.wait";
    pub(crate) const RUNQUEUE: &str = "cpu.runqueue";
    pub(crate) const QUOTA: &str = "cpu.throttled";
    pub(crate) const INTERRUPTS: &str = "cpu.irq";
    pub(crate) const MMAP_LOCK: &str = "lock.mmap";
    pub(crate) const KERNEL_LOCK: &str = "lock.kernel";
    pub(crate) const REMOVED: &str = "cgroup-removed";
    pub(crate) const HOLDER: &str = "holder";

    const IO: &[&str] = &["iolat", "delays"];
    const IO_AND_CPU: &[&str] = &["iolat", "runq", "delays"];

    /// All of them.
    pub(crate) const ALL: [Fault; 23] = [
        in_cgroups(MEMCG_RECLAIM, IO),
        in_cgroups(MEMCG_THROTTLE, IO),
        in_cgroups(QUOTA, IO_AND_CPU),
        in_cgroups(REMOVED, &["iolat"]),
        anywhere(RECLAIM, IO),
        anywhere(COMPACTION, IO),
        anywhere(DIRTY, IO),
        anywhere(FREEZE, IO),
        anywhere(INODE_LOCK, IO),
        anywhere(LOCK, IO),
        anywhere(JOURNAL, IO),
        anywhere(SERVER, IO),
        anywhere(FS_WAIT, IO),
        anywhere(DEVICE, IO),
        anywhere(BLOCK_THROTTLE, IO),
        anywhere(QUEUE, IO),
        anywhere(BLOCK_WAIT, IO),
        anywhere(RUNQUEUE, IO_AND_CPU),
        anywhere(INTERRUPTS, IO),
        anywhere(MMAP_LOCK, IO),
        anywhere(KERNEL_LOCK, &["delays"]),
        anywhere(HOLDER, &["lock"]),
        anywhere(FREEZE, &["hung"]),
    ];

    const fn in_cgroups(name: &'static str, tools: &'static [&'static str]) -> Fault {
        Fault { name, tools, places: &[V1, V2] }
    }

    const fn anywhere(name: &'static str, tools: &'static [&'static str]) -> Fault {
        Fault { name, tools, places: &[NONE] }
    }

    /// Only faults whose names, with their tool's before them, contain one of these, which commas separate.
    pub(crate) const FILTER: &str = "OSDIAG_FAULTS";

    /// A fault that is made in a guest, and the tools that look at it.
    pub(crate) struct Made {
        pub(crate) name: &'static str,
        pub(crate) place: &'static str,
        pub(crate) tools: Vec<&'static str>,
    }

    /// The faults of a guest with this hierarchy; those in no cgroup are made beside the unified one.
    pub(crate) fn of(guest: &str) -> impl Iterator<Item = Made> {
        let is_its = move |place: &str| place == guest || place == NONE && guest == V2;
        let named = std::env::var(FILTER).unwrap_or_default();
        let made = ALL.iter().flat_map(move |fault| {
            let tools = fault.tools.iter().copied();
            let tools: Vec<_> = tools
                .filter(|tool| named.split(',').any(|part| row(tool, fault.name).contains(part)))
                .collect();
            let places = fault.places.iter().filter(move |place| is_its(place));
            places.map(move |place| Made { name: fault.name, place, tools: tools.clone() })
        });
        made.filter(|made| !made.tools.is_empty())
    }

    /// What stands in the table for a fault and one of its tools.
    pub(crate) fn row(tool: &str, name: &str) -> String {
        format!("{tool} {name}")
    }
}
