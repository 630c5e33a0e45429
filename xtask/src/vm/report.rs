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
        /// The tool that has to name it, and as what.
        pub(crate) name: &'static str,
        pub(crate) places: &'static [&'static str],
    }

    pub(crate) const MEMCG_RECLAIM: &str = "iolat memory.memcg-reclaim";
    pub(crate) const MEMCG_THROTTLE: &str = "iolat memory.memcg-throttle";
    pub(crate) const QUOTA_IOLAT: &str = "iolat cpu.throttled";
    pub(crate) const QUOTA_RUNQ: &str = "runq cpu.throttled";
    pub(crate) const REMOVED: &str = "iolat cgroup-removed";
    pub(crate) const DIRTY: &str = "iolat memory.dirty-throttle";
    pub(crate) const FREEZE: &str = "iolat filesystem.freeze";
    pub(crate) const INODE_LOCK: &str = "iolat filesystem.inode-lock";
    pub(crate) const JOURNAL: &str = "iolat filesystem.journal";
    pub(crate) const DEVICE: &str = "iolat block.device";
    pub(crate) const RUNQUEUE_IOLAT: &str = "iolat cpu.runqueue";
    pub(crate) const RUNQUEUE_RUNQ: &str = "runq cpu.runqueue";
    pub(crate) const HOLDER: &str = "lock holder";
    pub(crate) const STUCK: &str = "hung filesystem.freeze";

    /// All of them.
    pub(crate) const ALL: [Fault; 14] = [
        in_cgroups(MEMCG_RECLAIM),
        in_cgroups(MEMCG_THROTTLE),
        in_cgroups(QUOTA_IOLAT),
        in_cgroups(QUOTA_RUNQ),
        in_cgroups(REMOVED),
        anywhere(DIRTY),
        anywhere(FREEZE),
        anywhere(INODE_LOCK),
        anywhere(JOURNAL),
        anywhere(DEVICE),
        anywhere(RUNQUEUE_IOLAT),
        anywhere(RUNQUEUE_RUNQ),
        anywhere(HOLDER),
        anywhere(STUCK),
    ];

    const fn in_cgroups(name: &'static str) -> Fault {
        Fault { name, places: &[V1, V2] }
    }

    const fn anywhere(name: &'static str) -> Fault {
        Fault { name, places: &[NONE] }
    }

    /// Only faults whose names contain this.
    pub(crate) const FILTER: &str = "OSDIAG_FAULTS";

    /// The faults of a guest with this hierarchy; those in no cgroup are made beside the unified one.
    pub(crate) fn of(guest: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
        let is_its = move |place: &str| place == guest || place == NONE && guest == V2;
        let named = std::env::var(FILTER).unwrap_or_default();
        let faults = ALL.iter().filter(move |fault| fault.name.contains(&named));
        faults.flat_map(move |fault| {
            fault.places.iter().filter(move |place| is_its(place)).map(|place| (fault.name, *place))
        })
    }
}
