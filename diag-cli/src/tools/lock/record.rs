//! `osdiag.lock/1`: what a record of `osdiag lock` adds to the common keys.

use std::borrow::Cow;

use diag_common::contention::Kind;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{advice, attach::KERNEL_SIDE, verdict::title};
use crate::output::{
    advice::ids,
    consistency::Contradiction,
    histogram::Histogram,
    record::{
        Body,
        parties::{Omitted, Task},
        verdict::Verdict,
    },
};

/// What `osdiag lock` found in an interval or a session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Locks {
    /// Locks that were waited for, in the order of `--sort`: those of `--top` one by one, the others by type and name.
    pub(crate) locks: Vec<Lock>,
    /// Locks that have no entry of their own in `locks`, as far as they were known from each other, and the time of waits for
    /// them: it is in the entries of several locks.
    pub(crate) locks_omitted: Omitted,
    /// Waits that had not ended when tracing did, and are in none of the numbers; null but in a summary.
    pub(crate) pending: Option<Vec<PendingWait>>,
    /// What `pending` lacks; null but in a summary.
    pub(crate) pending_omitted: Option<Omitted>,
    /// The lock that cost most: its type is `lock`, `share` is its part of all time waited for locks, and `via` what its main
    /// owner was doing.
    pub(crate) verdict: Verdict,
}

impl Body for Locks {
    const SCHEMA: &'static str = "osdiag.lock/1";

    fn unavailable_names() -> Vec<&'static str> {
        KERNEL_SIDE.unavailable_names()
    }

    fn advice_rules() -> Vec<&'static str> {
        ids(advice::RULES)
    }

    fn set_verdict(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    fn counted(&self) -> Option<u64> {
        Some(self.locks.iter().map(|lock| lock.wait.count).sum())
    }

    fn contradictions(&self) -> Vec<Contradiction> {
        self.locks.iter().filter_map(Lock::parts_exceed).collect()
    }
}

/// One lock, or several of one type and name.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Lock {
    /// What sort of lock, and which side of it was waited for.
    pub(crate) lock_type: LockType,
    /// A symbol, or what its callers say: `inode i_rwsem`; `in FUNCTION` where nothing names it but its caller. Null where not
    /// even that is known, and where the entry is locks of several names.
    pub(crate) name: Option<String>,
    /// Where it lies in the kernel's memory, hexadecimal; null where the entry is several locks.
    pub(crate) address: Option<String>,
    /// How many locks the entry is; null where that is not known, because there was no room to keep them apart.
    pub(crate) lock_count: Option<u64>,
    /// How long tasks waited for it.
    pub(crate) wait: Histogram,
    /// Where they waited, most time first; of some short waits no stack is taken, and those are in none of the entries.
    pub(crate) callers: Vec<Caller>,
    /// What `callers` lacks.
    pub(crate) callers_omitted: Omitted,
    /// Who waited, most time first; adds up to `wait`, but for what `lost` says.
    pub(crate) waiters: Vec<Waiter>,
    /// Waiters without an entry of their own: together they are the last entry.
    pub(crate) waiters_omitted: Omitted,
    /// Who owned the lock when a wait for it began, most time first; of some waits that is not known, or nobody did any more.
    pub(crate) owners: Vec<Owner>,
    /// Owners without an entry of their own: together they are the last entry.
    pub(crate) owners_omitted: Omitted,
}

impl Lock {
    /// Parts of the whole that are more than it.
    fn parts_exceed(&self) -> Option<Contradiction> {
        let whole_ns = self.wait.sum_ns;
        let parts = [
            self.waiters.iter().map(|waiter| waiter.ns).sum::<u64>(),
            self.owners.iter().map(|owner| owner.ns).sum(),
            self.callers.iter().map(|caller| caller.ns).sum(),
        ];
        let parts_ns = parts.into_iter().find(|&parts_ns| parts_ns > whole_ns)?;
        Some(Contradiction::PartsDiffer { of: title(self), parts_ns, whole_ns })
    }
}

/// A place from which a lock was waited for.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Caller {
    /// The waiter's kernel stack from the lock's caller on, innermost function first; null where functions have no names.
    pub(crate) stack: Option<Vec<String>>,
    /// Time waited there, ns.
    pub(crate) ns: u64,
    /// Waits there.
    pub(crate) wait_count: u64,
}

/// Who waited for a lock.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Waiter {
    /// All threads of one name of a process; null where the entry is several of those.
    pub(crate) task: Option<Task>,
    /// How many of those the entry is.
    pub(crate) task_count: u64,
    /// Time that they waited, ns.
    pub(crate) ns: u64,
    /// How often.
    pub(crate) wait_count: u64,
}

/// Who owned a lock that was waited for, and what it was doing: when waits began, and for an rwsem also each time that the waiter
/// went to sleep.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Owner {
    /// The thread; null where it is not known, and where the entry is several.
    pub(crate) task: Option<Task>,
    /// How many threads the entry is, each once for each state; null where they are not known.
    pub(crate) task_count: Option<u64>,
    /// Whether it held the lock as a reader. Then it is the last of the readers to have come, and others may have held
    /// the lock, too; nobody is named where the kernel does not keep that.
    pub(crate) reader: bool,
    /// What it was doing then; null where nobody is named.
    pub(crate) state: Option<Doing>,
    /// Time of those waits from then on, until another owner was seen or the wait ended, ns.
    pub(crate) ns: u64,
    /// Of those waits the ones that were for it longer than for any other owner.
    pub(crate) wait_count: u64,
    /// Its kernel stack in the one of them that was longest for it and for which one was taken, innermost function first; null
    /// without any.
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
    /// It was still in the lock's queue: the lock had been handed to it, and it had yet to run with it.
    HandedOver,
}

/// A wait that had not ended when tracing did.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PendingWait {
    /// What sort of lock.
    pub(crate) lock_type: LockType,
    /// As in `locks`.
    pub(crate) name: Option<String>,
    /// Where it lies in the kernel's memory, hexadecimal.
    pub(crate) address: Option<String>,
    /// The thread that waits.
    pub(crate) task: Task,
    /// How long it had waited, ns.
    pub(crate) waited_ns: u64,
    /// The thread that owned the lock when that was last looked at; null where that is not known.
    pub(crate) owner: Option<Task>,
    /// Where it waits, innermost function first; null where that cannot be read.
    pub(crate) stack: Option<Vec<String>>,
}

/// A type of locks, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LockType(pub(crate) Kind);

impl Serialize for LockType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl JsonSchema for LockType {
    fn schema_name() -> Cow<'static, str> {
        "LockType".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        output::{
            record::Record,
            sample::{check_keys, check_refused, complaints, keys},
        },
        tools::lock::sample::{convoy, folded, quiet, report, report_with, stuck},
    };

    #[test]
    fn records_follow_the_schema_and_nothing_less_does() {
        let record =
            serde_json::to_value(report_with(vec![convoy(), quiet(), folded()], vec![stuck()]).record)
                .unwrap();
        check_keys::<Locks>(&record);
        let empty = serde_json::to_value(report(vec![]).record).unwrap();
        assert_eq!(complaints::<Locks>(&empty), Vec::<String>::new());
        jsonschema::draft202012::meta::validate(&Record::<Locks>::json_schema()).unwrap();
        for (pointer, wrong) in [
            ("/schema", json!("osdiag.lock/2")),
            ("/locks/0/lock_type", json!("lock")),
            ("/locks/0/owners/0/state", json!("busy")),
            ("/locks/0/waiters/0/task_count", json!(null)),
            ("/locks/0/callers/0/stack", json!("vfs_write")),
            ("/verdict/advice/0/rule", json!("reboot")),
            ("/verdict/via", json!("disk")),
        ] {
            check_refused::<Locks>(&record, pointer, wrong);
        }
    }

    #[test]
    fn a_record_has_the_keys_of_the_contract() {
        let record = serde_json::to_value(report_with(vec![convoy()], vec![stuck()]).record).unwrap();
        insta::assert_snapshot!(
            [
                "",
                "/locks/0",
                "/locks/0/callers/0",
                "/locks/0/waiters/0",
                "/locks/0/owners/0",
                "/pending/0",
                "/verdict"
            ]
            .map(|pointer| format!("{pointer}: {}", keys(&record, pointer)))
            .join("\n")
        );
    }

    #[test]
    fn parts_that_are_more_than_their_whole_are_a_contradiction() {
        let record = |lock: Lock| report(vec![lock]).record.body;
        assert_eq!(record(convoy()).contradictions(), vec![]);
        let mut wrong = convoy();
        wrong.owners[0].ns = 3_000_000_000;
        let found = record(wrong).contradictions();
        assert!(matches!(found[..], [Contradiction::PartsDiffer { .. }]), "{found:?}");
    }
}
