//! What every record has, whichever tool it comes from: the envelope, and the objects that the tools' own keys are made of.

pub(crate) mod cause;
pub(crate) mod layers;
mod line;
pub(crate) mod lost;
pub(crate) mod parties;
pub(crate) mod settings;
pub(crate) mod state;
pub(crate) mod target;
pub(crate) mod verdict;

use std::fmt;

use schemars::{JsonSchema, generate::SchemaSettings};
use serde::Serialize;
use serde_json::{Value, json};

use self::verdict::Verdict;
pub(crate) use self::{
    line::json,
    lost::Lost,
    settings::Settings,
    target::{Target, TargetKind},
};
use super::{consistency::Contradiction, cost::SelfCost, host::Host, time::Timestamp};

/// What one tool adds to the common keys.
pub(crate) trait Body: Serialize + JsonSchema {
    /// The name and version of the tool's records, such as `osdiag.iolat/1`.
    const SCHEMA: &'static str;

    /// What can stand in `unavailable[].name`, besides [`UNAVAILABLE_ANYWHERE`].
    fn unavailable_names() -> Vec<&'static str>;

    /// The identifiers of the rules of `verdict.advice[]`.
    fn advice_rules() -> Vec<&'static str>;

    /// Puts another answer in the place of the one that the tool found.
    fn set_verdict(&mut self, verdict: Verdict);

    /// How many things the record counts: operations, waits, events. `None` where an empty record is no sign that anything
    /// was lost.
    fn counted(&self) -> Option<u64>;

    /// What in the record contradicts the rest of it.
    fn contradictions(&self) -> Vec<Contradiction> {
        Vec::new()
    }
}

/// What any session can find unavailable.
pub(crate) const UNAVAILABLE_ANYWHERE: &[&str] = &[
    "cgroups",
    "cgroup_mkdir",
    "quiesce",
    "typed-hooks",
    "btf-match",
    "kernel-symbols",
    "kernel-stacks",
    "system-calls",
    "procfs",
];

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
        schema["properties"]["version"]["description"] =
            json!("The version of the program that wrote the record.");
        let mut names = T::unavailable_names();
        names.extend_from_slice(UNAVAILABLE_ANYWHERE);
        for (pointer, mut words) in [
            ("/$defs/Unavailable/properties/name", names),
            ("/$defs/Advice/properties/rule", T::advice_rules()),
        ] {
            words.sort_unstable();
            words.dedup();
            if let Some(place) = schema.pointer_mut(pointer) {
                place["enum"] = json!(words);
            }
        }
        schema
    }
}

/// The keys that every record has besides `schema`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Envelope {
    /// The version of the program that wrote the record.
    pub(crate) version: &'static str,
    /// The run of the program: a UUID, the same in all records of one run.
    pub(crate) session: String,
    /// The number of the record within the run, from 0 on.
    pub(crate) sequence: u64,
    /// What the record is about.
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    /// The machine.
    pub(crate) host: Host,
    /// When what the record tells began, by the wall clock.
    pub(crate) start: Timestamp,
    /// When it ended: `start` and `duration_ns` later.
    pub(crate) end: Timestamp,
    /// How long it lasted, ns, by the kernel's monotonic clock, without attaching and detaching.
    pub(crate) duration_ns: u64,
    /// What was asked for.
    pub(crate) settings: Settings,
    /// Which tasks were looked at.
    pub(crate) target: Target,
    /// What was attached to the kernel.
    pub(crate) probes: Vec<Probe>,
    /// What could not be attached or read, and what that costs the answer.
    pub(crate) unavailable: Vec<Unavailable>,
    /// A count for everything that can be lost; all 0 in a complete record.
    pub(crate) lost: Lost,
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

/// Something attached to the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Probe {
    /// The tracepoint or function.
    pub(crate) name: String,
    /// The kind of hook.
    pub(crate) hook: Hook,
}

/// A kind of hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Hook {
    /// A tracepoint with the kernel's types.
    TpBtf,
    /// A raw tracepoint.
    RawTp,
    /// The call and the return of a function.
    Fentry,
    /// An iterator over tasks, which is read rather than attached.
    Iter,
}

impl Hook {
    /// The name that records use.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Hook::TpBtf => "tp_btf",
            Hook::RawTp => "raw_tp",
            Hook::Fentry => "fentry",
            Hook::Iter => "iter",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Something that could not be attached or read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Unavailable {
    /// The tracepoint, or what else is missing.
    pub(crate) name: String,
    /// Why it is missing.
    pub(crate) why: String,
    /// What the record cannot tell because of it.
    pub(crate) effect: String,
}
