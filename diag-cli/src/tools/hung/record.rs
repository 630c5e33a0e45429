//! `osdiag.hung/1`: what a record of `osdiag hung` adds to the common keys.

use diag_common::cause::Cause as Finer;
use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use super::causes::Cause;
use crate::output::{record::Body, time::Timestamp};

/// What `osdiag hung` found. An `event` tells of the tasks that have just crossed the threshold, and of those that have just
/// gone on; an `interval` and a `summary` of all that were stuck in it.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Hung {
    /// From when on a task counts as stuck, ns.
    pub(crate) threshold_ns: u64,
    /// The stuck tasks, longest first.
    pub(crate) tasks: Vec<StuckTask>,
    /// How many more there are than `tasks` has; the groups count them.
    pub(crate) more: u64,
    /// The same tasks by what they are stuck in, largest group first.
    pub(crate) groups: Vec<Group>,
    /// What the kernel's own watchdogs complained of.
    pub(crate) watchdogs: Vec<Complaint>,
    /// What is the matter, in a sentence; null where nothing was stuck.
    pub(crate) verdict: Option<Verdict>,
}

impl Body for Hung {
    const SCHEMA: &'static str = "osdiag.hung/1";
}

/// A task in uninterruptible sleep.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct StuckTask {
    #[serde(flatten)]
    pub(crate) who: Who,
    /// How long it has slept this sleep, ns; of one that went on, up to the last time that it was seen asleep.
    pub(crate) blocked_ns: u64,
    /// Since when.
    pub(crate) since: Timestamp,
    #[serde(flatten)]
    pub(crate) wait: Wait,
    /// What it waits for itself: the holder, or the thread that works for it; absent where nobody is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Behind")]
    pub(crate) behind: Option<Box<Behind>>,
    /// When it was seen to have gone on; absent as long as it is stuck.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Timestamp")]
    pub(crate) resolved: Option<Timestamp>,
}

/// A task.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub(crate) struct Who {
    /// The process.
    pub(crate) pid: u32,
    /// The thread.
    pub(crate) tid: u32,
    /// The thread's name.
    pub(crate) comm: String,
    /// Its cgroup.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) cgroup: Option<String>,
    /// Its state, as ps(1) shows it: `D`, `R`, `S`, `T`…
    pub(crate) state: String,
    /// Whether a fatal signal ends an uninterruptible sleep all the same (`TASK_KILLABLE`).
    pub(crate) killable: bool,
    /// Where it sleeps, innermost function first, without the scheduler's own.
    pub(crate) stack: Vec<String>,
}

/// What a task waits for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub(crate) struct Wait {
    /// What it waits for.
    pub(crate) cause: Cause,
    /// The same, finer, in the words of `osdiag iolat`, such as `filesystem.inode-lock`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) detail: Option<String>,
    /// What the descriptor that it called with is, as `/proc/PID/fd` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) file: Option<String>,
    /// The block device concerned, such as `vda1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) device: Option<String>,
    /// The type of the file's file system.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) filesystem: Option<String>,
    /// Where that is mounted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) mount: Option<String>,
}

impl Wait {
    /// The words for a finer cause.
    pub(super) fn detail_of(finer: Finer) -> String {
        format!("{}.{}", finer.layer().name(), finer.name())
    }
}

/// What is behind a wait.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub(crate) struct Behind {
    /// What it is to whoever waits.
    pub(crate) relation: Relation,
    /// What is no task, or what the task serves: a device, a server on the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) name: Option<String>,
    /// The task.
    #[serde(flatten)]
    pub(crate) who: Option<Who>,
    /// What it waits for in turn.
    #[serde(flatten)]
    pub(crate) wait: Option<Wait>,
    /// What is behind that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Behind")]
    pub(crate) behind: Option<Box<Behind>>,
    /// It is one of those that wait in front of it: none of them can ever go on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) deadlock: bool,
}

/// What somebody is to whoever waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Relation {
    /// Holds the lock.
    Holder,
    /// Took the lock last as a reader: one of perhaps several that hold it.
    Reader,
    /// Writes the journal.
    JournalThread,
    /// Writes back what is dirty.
    Flusher,
    /// Serves the FUSE file system.
    FuseServer,
    /// Serves the file system over the network.
    Server,
    /// Is the loop device's worker.
    LoopWorker,
    /// Is what the loop device is over.
    LoopBacking,
    /// Is the child that has not called exec or exit yet.
    VforkChild,
}

/// Tasks that are stuck in the same place.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Group {
    /// How many.
    pub(crate) tasks: u64,
    /// How many of them have gone on.
    pub(crate) resolved: u64,
    /// The longest of their sleeps, ns.
    pub(crate) longest_ns: u64,
    /// What they wait for.
    pub(crate) cause: Cause,
    /// The same, finer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) detail: Option<String>,
    /// Where they sleep, innermost function first.
    pub(crate) stack: Vec<String>,
    /// Their names, the most frequent first, as `comm` and how many tasks have it; a few at most.
    pub(crate) comms: Vec<Comm>,
    /// The one at the end of the chain that most of them wait behind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) root: Option<String>,
}

/// A name of some tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Comm {
    /// The name.
    pub(crate) comm: String,
    /// How many tasks have it.
    pub(crate) tasks: u64,
}

/// Something that one of the kernel's own watchdogs said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Complaint {
    /// Which watchdog: `hung-task`, `soft-lockup`, `hard-lockup`, `rcu-stall`, `workqueue`.
    pub(crate) watchdog: &'static str,
    /// When it was seen.
    pub(crate) at: Timestamp,
    /// What it said, or of whom.
    pub(crate) text: String,
}

/// What is the matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Verdict {
    /// What most tasks wait for.
    pub(crate) cause: Cause,
    /// Whether some of them can never go on.
    pub(crate) deadlock: bool,
    /// One plain sentence.
    pub(crate) statement: String,
    /// What to look at next, or to do.
    pub(crate) advice: Vec<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        output::sample::{check_keys, check_refused, complaints, keys},
        tools::hung::sample::{chain, crowd_of, nothing, report},
    };

    #[test]
    fn records_follow_the_schema_and_nothing_less_does() {
        let record = serde_json::to_value(report(vec![chain()]).record).unwrap();
        check_keys::<Hung>(&record);
        assert_eq!(
            complaints::<Hung>(&serde_json::to_value(nothing().record).unwrap()),
            Vec::<String>::new()
        );
        for (pointer, wrong) in [
            ("/tasks/0/cause", json!("slow")),
            ("/tasks/0/since", json!("yesterday")),
            ("/tasks/0/stack", json!("down_write")),
            ("/tasks/0/behind/relation", json!("friend")),
            ("/tasks/0/behind/behind/behind/relation", json!(null)),
            ("/verdict/deadlock", json!("no")),
        ] {
            check_refused::<Hung>(&record, pointer, wrong);
        }
    }

    #[test]
    fn a_record_has_the_keys_of_the_contract() {
        let record = serde_json::to_value(report(vec![chain()]).record).unwrap();
        insta::assert_snapshot!(
            ["", "/tasks/0", "/tasks/0/behind", "/tasks/0/behind/behind/behind", "/groups/0", "/verdict"]
                .map(|pointer| format!("{pointer}: {}", keys(&record, pointer)))
                .join("\n")
        );
    }

    #[test]
    fn a_crowd_is_one_group_and_a_record_has_an_end() {
        let body = report(crowd_of(2000)).record.body;
        assert_eq!((body.tasks.len(), body.more), (1000, 1000));
        assert_eq!(body.groups.len(), 1);
        assert_eq!((body.groups[0].tasks, body.groups[0].longest_ns), (2000, 11_999_000_000));
    }
}
