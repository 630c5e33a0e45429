//! `osdiag.delays/1`: what a record of `osdiag delays` adds to the common keys.

use diag_common::cause::{Cause, Class};
use schemars::JsonSchema;
use serde::Serialize;

use super::{advice::COMMANDS, attach::KERNEL_SIDE, folded, growth};
use crate::output::{
    advice::ids,
    cause_advice,
    consistency::Contradiction,
    histogram::Histogram,
    record::{
        Body,
        cause::{CauseKeys, Step},
        layers::Layers,
        parties::{self, Culprit, Omitted, Task},
        verdict::Verdict,
    },
};

/// What `osdiag delays` found in an interval or a session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Delays {
    /// Those of the target that had threads, in the order of `--sort`: `--top` of them, and then all others as one group of
    /// type `rest`.
    pub(crate) groups: Vec<Group>,
    /// How many groups are in the one of type `rest`, and the time of their threads, ns.
    pub(crate) groups_omitted: Omitted,
    /// Who lost most, and to what.
    pub(crate) verdict: Verdict,
}

/// Of the time of a group's threads, what may be in no cause or in two: a part of it, and so many ns beside that.
const SLACK: (f64, u64) = (0.001, 1_000_000);

impl Body for Delays {
    const SCHEMA: &'static str = "osdiag.delays/1";

    fn unavailable_names() -> Vec<&'static str> {
        KERNEL_SIDE
            .unavailable_names()
            .into_iter()
            .chain([folded::UNAVAILABLE, growth::UNAVAILABLE])
            .collect()
    }

    fn advice_rules() -> Vec<&'static str> {
        [ids(COMMANDS), ids(cause_advice::RULES)].concat()
    }

    fn set_verdict(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    fn counted(&self) -> Option<u64> {
        let causes = self.groups.iter().flat_map(|group| &group.causes);
        Some(causes.map(|cause| cause.wait_count).sum())
    }

    fn contradictions(&self) -> Vec<Contradiction> {
        self.groups.iter().filter_map(Group::parts_differ).collect()
    }
}

/// Threads that belong together. `thread_ns` is what `layers` add up to, and `unaccounted_ns`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Group {
    /// Who they are.
    pub(crate) group: parties::Group,
    /// How many threads were in it at some time; one that left and came back counts twice.
    pub(crate) thread_count: u64,
    /// The time for which they were in it, together, ns: from births, deaths and moves alone.
    pub(crate) thread_ns: u64,
    /// What of it is in no layer, ns; negative where layers have more.
    pub(crate) unaccounted_ns: i64,
    /// Time of the class `lost`, ns.
    pub(crate) loss_ns: u64,
    /// Its part of `thread_ns`, 0 to 1.
    pub(crate) loss_share: f64,
    /// The time by layer.
    pub(crate) layers: Layers,
    /// The same by cause, longest first.
    pub(crate) causes: Vec<GroupCause>,
    /// What `causes` lacks.
    pub(crate) causes_omitted: Omitted,
    /// Where its threads slept, longest first. Running and waiting for a CPU have no place.
    pub(crate) places: Vec<Place>,
    /// What `places` lacks.
    pub(crate) places_omitted: Omitted,
    /// Its longest waits of the class `lost`, longest first: those that ended, and those that still lasted.
    pub(crate) longest: Vec<LongWait>,
    /// Of the waits of the class `lost` that were kept one by one (200 of all groups together), those that `longest` lacks.
    pub(crate) longest_omitted: Omitted,
    /// Who had what it waited for, longest first: a CPU in the time of `cpu.runqueue`, a device in that of `block.device` and
    /// `block.queue`, a lock in that of `lock.mmap`, `lock.kernel`, `filesystem.inode-lock` and `filesystem.lock`, memory in that
    /// of the layer `memory`. The group itself can be among them. Those of a resource add up to that time; what of it no group is
    /// known to have had is a culprit without a group.
    pub(crate) culprits: Vec<Culprit>,
    /// What `culprits` lacks.
    pub(crate) culprits_omitted: Omitted,
    /// What the kernel itself says of the group's cgroup (PSI); null where the group is none of cgroup v2, or has no such
    /// files, or nothing was read when the record began.
    pub(crate) pressure: Option<Pressure>,
}

impl Group {
    /// Time of the class `lost` of a layer or cause that `of` accepts, ns.
    pub(crate) fn ns_of(&self, of: impl Fn(Cause) -> bool) -> u64 {
        self.causes.iter().filter(|cause| of(cause.keys.cause)).map(|cause| cause.ns).sum()
    }

    /// The time in which its threads wanted to go on, ns: all but waiting for other programs, being stopped, and having
    /// nothing to do.
    pub(crate) fn active_ns(&self) -> u64 {
        self.loss_ns + self.ns_of(|cause| cause.class() == Class::Busy)
    }

    fn parts_differ(&self) -> Option<Contradiction> {
        let (share, least_ns) = SLACK;
        let allowed_ns = (self.thread_ns as f64 * share) as u64 + least_ns;
        let whole_ns = self.thread_ns;
        let parts_ns = whole_ns.saturating_sub_signed(self.unaccounted_ns);
        let differ = self.unaccounted_ns.unsigned_abs() > allowed_ns;
        differ.then(|| Contradiction::PartsDiffer { of: self.group.label(), parts_ns, whole_ns })
    }
}

/// One cause's share of a group's time.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct GroupCause {
    #[serde(flatten)]
    pub(crate) keys: CauseKeys,
    /// Its time, ns.
    pub(crate) ns: u64,
    /// Of it, time on a CPU, ns: in reclaim, in compaction, in a lock's slow path.
    pub(crate) on_cpu_ns: u64,
    /// Its share of the time, 0 to 1.
    pub(crate) share: f64,
    /// Waits that ended.
    pub(crate) wait_count: u64,
    /// How long those took, each as a whole, also what of it lay before this record. The minimum is that of its bucket.
    pub(crate) wait: Histogram,
}

/// Where threads slept.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Place {
    /// A system call's name; `fault`, a page fault from user mode; `return`, the way back to user mode; `exit`, the end of a
    /// thread; `worker`, one of io_uring's; `kernel-thread`.
    pub(crate) place: String,
    /// The time, ns.
    pub(crate) ns: u64,
    /// Its share of the group's time, 0 to 1.
    pub(crate) share: f64,
    /// Why they slept there, longest first.
    pub(crate) causes: Vec<PlaceCause>,
    /// What `causes` lacks.
    pub(crate) causes_omitted: Omitted,
}

/// One cause's share of the time at a place.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct PlaceCause {
    #[serde(flatten)]
    pub(crate) keys: CauseKeys,
    /// Its time, ns.
    pub(crate) ns: u64,
    /// Its share of the time at the place, 0 to 1.
    pub(crate) share: f64,
}

/// A single wait.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct LongWait {
    /// Who waited.
    pub(crate) task: Task,
    /// Where; null where it did not sleep but was runnable.
    pub(crate) place: Option<String>,
    #[serde(flatten)]
    pub(crate) keys: CauseKeys,
    /// How long, ns: as a whole, also what of it lay before this record.
    pub(crate) ns: u64,
    /// From what it waited for to the root.
    pub(crate) chain: Vec<Step>,
    /// The kernel stack, innermost function first; null where none was taken.
    pub(crate) stack: Option<Vec<String>>,
    /// The file concerned; null where there is none, or it is not known.
    pub(crate) file: Option<String>,
    /// Whether it had not ended when this record did.
    pub(crate) open: bool,
}

/// Pressure stall information of a cgroup, for the time of the record. It is no thread time: however many tasks are stalled
/// at a moment, it counts once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct Pressure {
    /// Some tasks waited for a CPU, ns; null where the kernel has no such file.
    pub(crate) cpu_some_ns: Option<u64>,
    /// Some tasks waited for memory, ns; null likewise.
    pub(crate) memory_some_ns: Option<u64>,
    /// All tasks that were not idle waited for memory, ns; null likewise.
    pub(crate) memory_full_ns: Option<u64>,
    /// Some tasks waited for I/O, ns; null likewise.
    pub(crate) io_some_ns: Option<u64>,
    /// All tasks that were not idle waited for I/O, ns; null likewise.
    pub(crate) io_full_ns: Option<u64>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        output::{
            record::Record,
            sample::{check_keys, check_refused, complaints, envelope, keys},
        },
        tools::delays::sample::{body, busy, web},
    };

    #[test]
    fn records_follow_the_schema_and_nothing_less_does() {
        let record = serde_json::to_value(Record::new(envelope(), body(vec![web(), busy()]))).unwrap();
        check_keys::<Delays>(&record);
        let empty = serde_json::to_value(Record::new(envelope(), body(vec![]))).unwrap();
        assert_eq!(complaints::<Delays>(&empty), Vec::<String>::new());
        for (pointer, wrong) in [
            ("/schema", json!("osdiag.iolat/1")),
            ("/groups/0/unaccounted_ns", json!(0.5)),
            ("/groups/0/causes/0/cause", json!("slow")),
            ("/groups/0/places/0/place", json!(17)),
            ("/groups/0/places/0/causes/0/class", json!("wasted")),
            ("/groups/0/longest/0/open", json!(null)),
            ("/groups/0/culprits/0/basis", json!("luck")),
            ("/groups/0/pressure/io_some_ns", json!(-1)),
        ] {
            check_refused::<Delays>(&record, pointer, wrong);
        }
    }

    #[test]
    fn a_record_has_the_keys_of_the_contract() {
        let record = serde_json::to_value(Record::new(envelope(), body(vec![web()]))).unwrap();
        insta::assert_snapshot!(
            [
                "",
                "/groups/0",
                "/groups/0/causes/0",
                "/groups/0/places/0",
                "/groups/0/places/0/causes/0",
                "/groups/0/longest/0",
                "/groups/0/culprits/0",
                "/groups/0/pressure",
                "/verdict"
            ]
            .map(|pointer| format!("{pointer}: {}", keys(&record, pointer)))
            .join("\n")
        );
    }

    #[test]
    fn what_adds_up_is_no_contradiction() {
        let sound = body(vec![web(), busy()]);
        assert_eq!(sound.contradictions(), vec![]);
        assert!(sound.counted() > Some(0));
    }

    #[test]
    fn a_wake_up_that_is_missing_in_a_thousand_is_one() {
        let found = |unaccounted_ns| body(vec![Group { unaccounted_ns, ..web() }]).contradictions();
        let allowed = (web().thread_ns / 1000 + 1_000_000) as i64;
        assert_eq!((found(allowed), found(-allowed)), (vec![], vec![]));
        for unaccounted_ns in [allowed + 1, -allowed - 1] {
            let found = found(unaccounted_ns);
            let [Contradiction::PartsDiffer { of, parts_ns, whole_ns }] = &found[..] else {
                panic!("{found:?}")
            };
            assert_eq!((of.as_str(), *whole_ns), ("container web", web().thread_ns));
            assert_eq!(whole_ns.cast_signed() - parts_ns.cast_signed(), unaccounted_ns);
        }
    }
}
