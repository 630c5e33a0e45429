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
    /// A step has run.
    Step(Step),
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
        ("runq", &[SCHEMA, COMMAND, RAW]),
        ("lock", &[SCHEMA, COMMAND, RAW]),
        ("hung", &[SCHEMA, STUCK, RAW]),
        ("vmexit", &[SCHEMA, COMMAND, RAW]),
    ];
}
