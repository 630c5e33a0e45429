//! `osdiag.hung/1`: what a record of `osdiag hung` adds to the common keys.

use std::{ops::AddAssign, time::Duration};

use schemars::JsonSchema;
use serde::Serialize;

use super::{advice, attach, place::Place};
use crate::output::{
    advice::ids,
    consistency::Contradiction,
    record::{
        Body,
        cause::{CauseKeys, CauseOrNull},
        parties::{Device, Omitted, Task},
        state::TaskState,
        verdict::Verdict,
    },
    text::escape,
    time::Timestamp,
};

/// What `osdiag hung` found. An `event` tells of the tasks that have just crossed the threshold, and of those that have just
/// gone on; an `interval` and a `summary` of all that were stuck in it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Hung {
    /// How many tasks were stuck.
    pub(crate) task_count: u64,
    /// How many of them have gone on.
    pub(crate) resolved_count: u64,
    /// The stuck tasks, longest first; `--top` of them.
    pub(crate) tasks: Vec<StuckTask>,
    /// What `tasks` lacks, and how long those were stuck; `ns` is null where the session had no room for all of them.
    pub(crate) tasks_omitted: Omitted,
    /// The same tasks by what they are stuck in, in the order of `--sort`; `--top` of them.
    pub(crate) stuck_groups: Vec<StuckGroup>,
    /// What `stuck_groups` lacks.
    pub(crate) stuck_groups_omitted: Omitted,
    /// What the kernel's own watchdogs complained of.
    pub(crate) watchdogs: Vec<Complaint>,
    /// How often the machine was looked at, and how late; in an event, the look that has shown what it tells.
    pub(crate) looks: Looks,
    /// What is the matter.
    pub(crate) verdict: Verdict,
    /// From when on a task counts as stuck.
    #[serde(skip)]
    pub(crate) threshold: Duration,
}

impl Body for Hung {
    const SCHEMA: &'static str = "osdiag.hung/1";

    fn unavailable_names() -> Vec<&'static str> {
        let mut names = attach::KERNEL_SIDE.unavailable_names();
        names.extend_from_slice(attach::FOUND_UNAVAILABLE);
        names
    }

    fn advice_rules() -> Vec<&'static str> {
        ids(advice::RULES)
    }

    fn set_verdict(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    /// An empty list of stuck tasks is no sign of a loss.
    fn counted(&self) -> Option<u64> {
        None
    }

    fn contradictions(&self) -> Vec<Contradiction> {
        let listed_ns = self.tasks.iter().map(|task| task.blocked_ns).max();
        let counted_ns = self.stuck_groups.iter().map(|group| group.longest_ns).max();
        let pair = listed_ns.zip(counted_ns).filter(|(listed, counted)| listed < counted);
        pair.map(|(listed_ns, counted_ns)| Contradiction::LongestMissing { listed_ns, counted_ns })
            .into_iter()
            .collect()
    }
}

/// Looks at all tasks of the machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Looks {
    /// How many.
    pub(crate) count: u64,
    /// How long after the moment for which it was wanted the latest one came, ns; one that is still to come included. They are put
    /// off while those before have taken more than their share of a CPU, and what happens is told of that much later.
    pub(crate) longest_delay_ns: u64,
    /// How many tasks the last one found stuck beside those that are told of: describing them all would have taken too much of a CPU,
    /// and later looks tell of them.
    pub(crate) left_count: u64,
}

impl Looks {
    /// One look that came so late, and left so many tasks to later ones.
    pub(super) fn one(delay: Duration, left: usize) -> Looks {
        let mut looks = Looks { count: 1, longest_delay_ns: 0, left_count: left as u64 };
        looks.delayed(delay);
        looks
    }

    /// There is a look that is so late.
    pub(super) fn delayed(&mut self, delay: Duration) {
        let delay_ns = u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX);
        self.longest_delay_ns = self.longest_delay_ns.max(delay_ns);
    }
}

impl AddAssign for Looks {
    fn add_assign(&mut self, more: Looks) {
        self.count += more.count;
        self.longest_delay_ns = self.longest_delay_ns.max(more.longest_delay_ns);
        self.left_count = more.left_count;
    }
}

/// A task in uninterruptible sleep.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct StuckTask {
    /// Who it is.
    pub(crate) task: Task,
    /// What it does: it sleeps uninterruptibly.
    pub(crate) state: TaskState,
    /// Whether a fatal signal ends the sleep all the same (`TASK_KILLABLE`).
    pub(crate) killable: bool,
    /// Where it sleeps, innermost function first, without the scheduler's own; null where functions have no names.
    pub(crate) stack: Option<Vec<String>>,
    /// How long it has slept this sleep, ns; of one that went on, up to the last time that it was seen asleep.
    pub(crate) blocked_ns: u64,
    /// Since when.
    pub(crate) since: Timestamp,
    #[serde(flatten)]
    pub(crate) keys: CauseKeys,
    #[serde(flatten)]
    pub(crate) place: StuckPlace,
    /// What it waits for, what that waits for, and so on; empty where none is known.
    pub(crate) chain: Vec<Link>,
    /// When it was seen to have gone on; null as long as it is stuck.
    pub(crate) resolved_at: Option<Timestamp>,
}

/// Where a task waits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub(crate) struct StuckPlace {
    /// What the descriptor that it called with is, as `/proc/PID/fd` shows it; null where it has none, or that cannot be read.
    pub(crate) file: Option<String>,
    /// The block device concerned; null where there is none, or it is not known.
    pub(crate) device: Option<Device>,
    /// The type of the file's file system; null where that is not known.
    pub(crate) filesystem: Option<String>,
    /// Where that is mounted for the task; null likewise.
    pub(crate) mount: Option<String>,
    /// Where it is mounted for this process, as bytes that a shell can be given; none where it is not.
    #[serde(skip)]
    pub(crate) own_point: Option<Vec<u8>>,
}

impl From<&Place> for StuckPlace {
    fn from(place: &Place) -> StuckPlace {
        StuckPlace {
            file: place.file.as_deref().map(escape),
            device: place.device.clone(),
            filesystem: place.mount.as_ref().map(|mount| mount.filesystem.clone()),
            mount: place.mount.as_ref().map(|mount| escape(&mount.point)),
            own_point: place.own_point.clone(),
        }
    }
}

/// What a task waits for, or the one before it in the list does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub(crate) struct Link {
    /// What it is to the one before it.
    pub(crate) relation: Relation,
    /// What is no task, or what the task serves: a device, a server on the network; null where there is no such name.
    pub(crate) name: Option<String>,
    /// The task; null where it is none, or not known.
    pub(crate) task: Option<Task>,
    /// What the task does; null likewise.
    pub(crate) state: Option<TaskState>,
    /// Whether a fatal signal ends its sleep; null likewise.
    pub(crate) killable: Option<bool>,
    /// Where it sleeps, innermost function first; null likewise, or where functions have no names.
    pub(crate) stack: Option<Vec<String>>,
    #[serde(flatten)]
    pub(crate) keys: CauseOrNull,
    #[serde(flatten)]
    pub(crate) place: StuckPlace,
    /// It is one of those that wait in front of it: none of them can ever go on.
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
pub(crate) struct StuckGroup {
    /// How many.
    pub(crate) task_count: u64,
    /// How many of them have gone on.
    pub(crate) resolved_count: u64,
    /// The longest of their sleeps, ns.
    pub(crate) longest_ns: u64,
    #[serde(flatten)]
    pub(crate) keys: CauseKeys,
    /// Where they sleep, innermost function first; null where functions have no names.
    pub(crate) stack: Option<Vec<String>>,
    /// Their names, the most frequent first; a few at most.
    pub(crate) comms: Vec<CommCount>,
    /// What `comms` lacks.
    pub(crate) comms_omitted: Omitted,
    /// The task at the end of the chain that they wait behind; null where there is no chain, or no task at its end.
    pub(crate) root: Option<Task>,
    /// What is at the end of the chain, where it is no task; else null.
    pub(crate) root_name: Option<String>,
}

/// A name of some tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct CommCount {
    /// The name.
    pub(crate) comm: String,
    /// How many tasks have it.
    pub(crate) task_count: u64,
}

/// Something that one of the kernel's own watchdogs said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Complaint {
    /// Which watchdog.
    pub(crate) watchdog: Watchdog,
    /// When it was seen.
    pub(crate) at: Timestamp,
    /// What it said, or of whom.
    pub(crate) text: String,
}

/// One of the kernel's own watchdogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Watchdog {
    /// khungtaskd: a task is blocked.
    HungTask,
    /// A CPU has not scheduled.
    SoftLockup,
    /// A CPU has taken no interrupt.
    HardLockup,
    /// A CPU has held up a grace period of RCU.
    RcuStall,
    /// A pool of workers makes no progress.
    Workqueue,
}

impl Watchdog {
    /// The name that records use.
    pub(super) fn name(self) -> &'static str {
        match self {
            Watchdog::HungTask => "hung-task",
            Watchdog::SoftLockup => "soft-lockup",
            Watchdog::HardLockup => "hard-lockup",
            Watchdog::RcuStall => "rcu-stall",
            Watchdog::Workqueue => "workqueue",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
            ("/tasks/0/cause", Value::Null),
            ("/tasks/0/state", json!("D")),
            ("/tasks/0/since", json!("yesterday")),
            ("/tasks/0/stack", json!("down_write")),
            ("/tasks/0/chain/0/relation", json!("friend")),
            ("/tasks/0/chain/2/layer", json!("disk")),
            ("/tasks/0/chain/2/deadlock", json!("no")),
            ("/watchdogs/0/watchdog", json!("dog")),
        ] {
            check_refused::<Hung>(&record, pointer, wrong);
        }
    }

    #[test]
    fn a_record_has_the_keys_of_the_contract() {
        let record = serde_json::to_value(report(vec![chain()]).record).unwrap();
        insta::assert_snapshot!(
            ["", "/tasks/0", "/tasks/0/task", "/tasks/0/chain/0", "/stuck_groups/0", "/verdict"]
                .map(|pointer| format!("{pointer}: {}", keys(&record, pointer)))
                .join("\n")
        );
    }

    #[test]
    fn all_links_have_the_same_keys() {
        let record = serde_json::to_value(report(vec![chain()]).record).unwrap();
        let of = |link: usize| keys(&record, &format!("/tasks/0/chain/{link}"));
        assert_eq!((of(0), of(0)), (of(1), of(2)));
    }

    #[test]
    fn watchdogs_have_one_name() {
        for watchdog in [
            Watchdog::HungTask,
            Watchdog::SoftLockup,
            Watchdog::HardLockup,
            Watchdog::RcuStall,
            Watchdog::Workqueue,
        ] {
            assert_eq!(json!(watchdog), json!(watchdog.name()));
        }
    }

    #[test]
    fn a_crowd_is_one_group_and_a_record_has_an_end() {
        let body = report(crowd_of(2000)).record.body;
        assert_eq!((body.task_count, body.tasks.len()), (2000, 100));
        assert_eq!(body.tasks_omitted.count, 1900);
        let all: u64 = crowd_of(2000).iter().map(|task| task.blocked_ns).sum();
        let listed: u64 = body.tasks.iter().map(|task| task.blocked_ns).sum();
        assert_eq!(body.tasks_omitted.ns, Some(all - listed));
        assert_eq!(body.stuck_groups.len(), 1);
        let group = &body.stuck_groups[0];
        assert_eq!((group.task_count, group.longest_ns), (2000, 11_999_000_000));
    }

    #[test]
    fn the_longest_are_listed_whether_they_went_on_or_not() {
        let mut tasks = crowd_of(3);
        tasks[2].resolved_at = Some(tasks[2].since);
        let listed: Vec<u64> = report(tasks).record.body.tasks.iter().map(|task| task.blocked_ns).collect();
        assert_eq!(listed, [10_002_000_000, 10_001_000_000, 10_000_000_000]);
    }
}
