//! The keys that every record has, whichever tool it comes from.

use std::{collections::BTreeMap, fmt};

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Value, json};

use super::{cost::SelfCost, host::Host, text, time::Timestamp};

/// What one tool adds to the common keys.
pub(crate) trait Body: Serialize + JsonSchema {
    /// The name and version of the tool's records, such as `osdiag.iolat/1`.
    const SCHEMA: &'static str;
}

/// One line of `--json`: the common keys, and those of the tool.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Record<T> {
    /// Which JSON Schema the record follows.
    pub(crate) schema: &'static str,
    #[serde(flatten)]
    pub(crate) envelope: Envelope,
    #[serde(flatten)]
    pub(crate) body: T,
}

impl<T: Body> Record<T> {
    /// A record that carries the schema of its body.
    pub(crate) fn new(envelope: Envelope, body: T) -> Self {
        Self { schema: T::SCHEMA, envelope, body }
    }

    /// The JSON Schema (draft 2020-12) of these records.
    pub(crate) fn json_schema() -> Value {
        let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
        let mut schema = generator.into_root_schema_for::<Self>().to_value();
        schema["title"] = json!(T::SCHEMA);
        schema["properties"]["schema"]["const"] = json!(T::SCHEMA);
        schema
    }
}

/// The keys that every record has besides `schema`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Envelope {
    /// What the record is about.
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    /// The machine.
    pub(crate) host: Host,
    /// When what the record tells began, by the wall clock.
    pub(crate) start: Timestamp,
    /// When it ended, by the wall clock.
    pub(crate) end: Timestamp,
    /// How long it lasted, ns, by the monotonic clock.
    pub(crate) duration_ns: u64,
    /// Which tasks were looked at.
    pub(crate) target: Target,
    /// What was attached to the kernel.
    pub(crate) probes: Vec<Probe>,
    /// What could not be attached or read, and what that costs the answer.
    pub(crate) unavailable: Vec<Unavailable>,
    /// A count for everything that this tool can lose; all 0 in a complete record.
    pub(crate) lost: BTreeMap<&'static str, u64>,
    /// What the tool itself cost in this time.
    #[serde(rename = "self")]
    pub(crate) cost: SelfCost,
}

/// What a record is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// One interval of `--interval`.
    Interval,
    /// The whole session.
    Summary,
    /// Something that happened at one moment: the record covers the session up to it.
    Event,
}

/// Which tasks a session looks at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(crate) enum Target {
    /// Every task.
    System,
    /// The tasks in a cgroup and below it.
    Cgroup {
        /// The cgroup's path within its hierarchy.
        path: String,
        /// The inode number of the cgroup's directory, which the kernel calls its id.
        id: u64,
    },
    /// The tasks of a container.
    Container {
        /// The container's full id.
        container: String,
        /// The path of its cgroup within the hierarchy.
        path: String,
        /// The cgroup's id.
        id: u64,
    },
    /// The tasks of a systemd unit.
    Unit {
        /// The unit's name, with its suffix.
        unit: String,
        /// The path of its cgroup within the hierarchy.
        path: String,
        /// The cgroup's id.
        id: u64,
    },
    /// Processes, and those they fork during the session.
    Pid {
        /// The process ids that were asked for.
        pid: Vec<u32>,
    },
    /// The threads of one name.
    Comm {
        /// The name, at most 15 bytes.
        comm: String,
    },
    /// A command that the session ran, and its children.
    Command {
        /// The command and its arguments.
        command: Vec<String>,
        /// Its process id.
        pid: u32,
    },
}

/// Columns that a command gets in a sentence.
const COMMAND_COLUMNS: usize = 40;

impl fmt::Display for Target {
    /// As people say it: `container 3f2a…`; not yet safe for a terminal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::System => write!(f, "the whole system"),
            Target::Cgroup { path, .. } => write!(f, "cgroup {path}"),
            Target::Container { container, .. } => write!(f, "container {container:.12}"),
            Target::Unit { unit, .. } => write!(f, "unit {unit}"),
            Target::Pid { pid } => {
                let pids: Vec<String> = pid.iter().map(u32::to_string).collect();
                write!(f, "{} {}", if pids.len() == 1 { "process" } else { "processes" }, pids.join(", "))
            }
            Target::Comm { comm } => write!(f, "threads named {comm}"),
            Target::Command { command, .. } => {
                write!(f, "command '{}'", text::shorten(&command.join(" "), COMMAND_COLUMNS))
            }
        }
    }
}

/// Something attached to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Probe {
    /// The tracepoint or function.
    pub(crate) name: String,
    /// The kind of hook: `tp_btf`, `raw_tp`, `tp`, `fentry`, `kprobe`…
    pub(crate) hook: &'static str,
}

/// Something that could not be attached or read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Unavailable {
    /// The tracepoint, function, field or clock.
    pub(crate) name: String,
    /// Why not.
    pub(crate) why: String,
    /// What the record cannot tell because of it.
    pub(crate) effect: String,
}
