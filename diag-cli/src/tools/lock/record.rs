//! `osdiag.lock/1`: what a record of `osdiag lock` adds to the common keys.

use std::borrow::Cow;

use diag_common::lock::Kind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use crate::output::{histogram::Histogram, record::Body};

/// What `osdiag lock` found in an interval or a session.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Locks {
    /// Locks that were waited for, most time first: those of `--top` one by one, the others by kind and name.
    pub(crate) locks: Vec<Lock>,
    /// Waits that had not ended when tracing did, and are in none of the numbers; absent without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<PendingWait>,
    /// The lock that cost most; null where none is worth telling of (see `--slow`).
    pub(crate) verdict: Option<Verdict>,
}

impl Body for Locks {
    const SCHEMA: &'static str = "osdiag.lock/1";
}

/// One lock, or several of one kind and name.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Lock {
    /// What sort of lock, and which side of it was waited for.
    pub(crate) kind: KindName,
    /// A symbol, or what its callers tell: `inode i_rwsem`; `in FUNCTION` where nothing names it but its caller, and
    /// `unknown` where not even that is known.
    pub(crate) name: String,
    /// Where it lies in the kernel's memory, hexadecimal; absent where the entry is several locks.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) address: Option<String>,
    /// How many locks the entry is; absent where that is not known, because there was no room to tell them apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub(crate) locks: Option<u64>,
    /// How long tasks waited for it.
    pub(crate) wait: Histogram,
    /// Where they waited; of some short waits no stack is taken, and those are in none of the entries.
    pub(crate) callers: Vec<Caller>,
    /// Who waited; adds up to `wait`, but for what `lost` says.
    pub(crate) waiters: Vec<Waiter>,
    /// Who owned the lock when a wait for it began; of some waits that is not known, or nobody did any more.
    pub(crate) owners: Vec<Owner>,
}

/// A place from which a lock was waited for.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Caller {
    /// The waiter's kernel stack from the lock's caller on, innermost function first.
    pub(crate) stack: Vec<String>,
    /// Time waited there, ns.
    pub(crate) ns: u64,
    /// Waits there.
    pub(crate) waits: u64,
}

/// A task, or several.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Task {
    /// The process; absent where the entry is several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub(crate) pid: Option<u32>,
    /// The name of its thread; absent where the entry is several.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) comm: Option<String>,
    /// The path of its cgroup within the hierarchy, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) cgroup: Option<String>,
    /// How many the entry is; absent for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub(crate) tasks: Option<u64>,
}

/// Who waited for a lock.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Waiter {
    #[serde(flatten)]
    pub(crate) task: Task,
    /// Time that it waited, ns, all its threads of this name together.
    pub(crate) ns: u64,
    /// How often.
    pub(crate) waits: u64,
}

/// Who owned a lock when waits for it began, and what it was doing.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Owner {
    #[serde(flatten)]
    pub(crate) task: Task,
    /// The thread; absent where the entry is several, or nobody is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub(crate) tid: Option<u32>,
    /// Whether it held the lock as a reader. Then it is the last of the readers to have come, and others may have held
    /// the lock, too; nobody is named where the kernel does not keep that.
    pub(crate) reader: bool,
    /// What it was doing when the waits began; absent where nobody is named.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Doing")]
    pub(crate) state: Option<Doing>,
    /// Time of those waits, ns.
    pub(crate) ns: u64,
    /// Those waits.
    pub(crate) waits: u64,
    /// Its kernel stack when the longest of them began for which one was taken, innermost function first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub(crate) stack: Option<Vec<String>>,
}

/// What the owner of a lock was doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Doing {
    /// It was on a CPU.
    Running,
    /// It could have run, and waited for a CPU.
    Runnable,
    /// It was asleep, waiting for I/O.
    BlockedIo,
    /// It was making memory, awake or asleep.
    Reclaim,
    /// It was asleep for another reason; its stack says which.
    Blocked,
}

/// A wait that had not ended when tracing did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PendingWait {
    /// What sort of lock.
    pub(crate) kind: KindName,
    /// As in `locks`.
    pub(crate) name: String,
    /// Where it lies in the kernel's memory, hexadecimal.
    pub(crate) address: String,
    /// The process that waits.
    pub(crate) pid: u32,
    /// Its thread.
    pub(crate) tid: u32,
    /// The thread's name.
    pub(crate) comm: String,
    /// How long it had waited, ns.
    pub(crate) waited_ns: u64,
    /// Who owned the lock when the wait began, where that is known: the thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub(crate) owner_tid: Option<u32>,
    /// The owner's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) owner_comm: Option<String>,
    /// Where it waits, innermost function first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub(crate) stack: Option<Vec<String>>,
}

/// The lock that cost most, and what it was about.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Verdict {
    /// As in `locks`.
    pub(crate) kind: KindName,
    /// As in `locks`.
    pub(crate) name: String,
    /// As in `locks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) address: Option<String>,
    /// Its share of all time waited for locks, 0 to 1.
    pub(crate) share: f64,
    /// All of this in one plain sentence.
    pub(crate) statement: String,
    /// What to look at next, most telling first.
    pub(crate) advice: Vec<String>,
}

/// A kind of locks, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KindName(pub(crate) Kind);

impl Serialize for KindName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl JsonSchema for KindName {
    fn schema_name() -> Cow<'static, str> {
        "Kind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}
