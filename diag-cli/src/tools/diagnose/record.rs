//! `osdiag.diagnose/1`: what a record of `osdiag diagnose` adds to the common keys.

use schemars::JsonSchema;
use serde::Serialize;

use super::advice;
use crate::{
    output::{
        advice::ids,
        cause_advice,
        record::{
            Body,
            cause::{CauseWord, LayerWord, Step},
            parties::{Culprit, Group},
            settings::Unit,
            verdict::{Advice, Verdict},
        },
    },
    session::TRACING,
    target::LimitFile,
    tools::delays,
};

/// What `osdiag diagnose` concludes from the records before it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Diagnosis {
    /// What files of the kernel said, of the time from before the session to its end.
    pub(crate) signals: Vec<Signal>,
    /// What hurts, worst first.
    pub(crate) findings: Vec<Finding>,
    /// What is on the way to be a finding, worst first.
    pub(crate) notes: Vec<Note>,
    /// What was looked at and is no finding.
    pub(crate) ruled_out: Vec<RuledOut>,
    /// What could not be seen.
    pub(crate) not_seen: Vec<NotSeen>,
    /// The first finding in a sentence, and what to run next.
    pub(crate) verdict: Verdict,
}

impl Body for Diagnosis {
    const SCHEMA: &'static str = "osdiag.diagnose/1";

    fn unavailable_names() -> Vec<&'static str> {
        [delays::Body::unavailable_names(), vec![super::TRIAGE, TRACING]].concat()
    }

    fn advice_rules() -> Vec<&'static str> {
        [ids(advice::COMMANDS), ids(cause_advice::RULES)].concat()
    }

    fn set_verdict(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    fn counted(&self) -> Option<u64> {
        None
    }
}

/// A number that the kernel keeps in a file.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Signal {
    /// Which one.
    pub(crate) signal: SignalName,
    /// Whose; null where it is the whole machine's.
    pub(crate) group: Option<Group>,
    /// The number.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: Unit,
    /// From which number on it hurts; null where the number alone does not tell.
    pub(crate) hurts_from: Option<f64>,
    /// Whether it does; null likewise.
    pub(crate) hurts: Option<bool>,
    /// The file.
    pub(crate) source: &'static str,
}

/// Which number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SignalName {
    /// Part of the time in which some task waited for a CPU (PSI).
    CpuPressure,
    /// Part of the time in which some task waited for memory.
    MemoryPressure,
    /// Part of the time in which some task waited for I/O.
    IoPressure,
    /// Part of the periods of a CPU quota in which the group was held.
    ThrottledPeriods,
    /// Part of the time on CPUs and steal that was stolen.
    Steal,
    /// Times that a task had to free memory itself.
    ReclaimStalls,
    /// Pages read from swap.
    PagesSwappedIn,
    /// Tasks killed for memory.
    MemoryKills,
    /// Mean time of a request of the disk that has the longest, of those that did something, ns.
    DiskTime,
    /// Threads in uninterruptible sleep from before the session on.
    StuckThreads,
}

/// What hurts.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Finding {
    /// Its place among the findings, from 1 on.
    pub(crate) rank: u64,
    /// Who loses time, those that lose most first.
    pub(crate) victims: Vec<Victim>,
    /// Which part of the system the time belongs to.
    pub(crate) layer: LayerWord,
    /// Why, within the layer.
    pub(crate) cause: CauseWord,
    /// From what is waited for to the root: at least the cause itself.
    pub(crate) chain: Vec<Step>,
    /// Time that the victims lost to it, without what they took from themselves, ns.
    pub(crate) ns: u64,
    /// Who or what has to change; null where it is not known.
    pub(crate) blame: Option<Blame>,
    /// The limit that is the cause; null where none is, or it is not known.
    pub(crate) limit: Option<Limit>,
    /// Other groups that had what was waited for, longest first.
    pub(crate) culprits: Vec<Culprit>,
    /// The numbers that the finding rests on, most telling first.
    pub(crate) evidence: Vec<Evidence>,
    /// Whether it rests on a number that stands in for one that could not be seen.
    pub(crate) estimate: bool,
    /// One plain sentence.
    pub(crate) statement: String,
    /// What to run and to look at next.
    pub(crate) advice: Vec<Advice>,
}

/// A group that loses time.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Victim {
    /// Who.
    pub(crate) group: Group,
    /// How much, ns.
    pub(crate) ns: u64,
    /// Its part of the time in which the group wanted to go on, 0 to 1.
    pub(crate) loss_share: f64,
}

/// Who or what has to change so that a finding goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Blame {
    /// A limit that was set for the victim.
    OwnLimit,
    /// Another group.
    Neighbour,
    /// The guest as a whole: its memory, its kernel threads, the state of a file system.
    Machine,
    /// The host below the guest.
    Host,
    /// A device.
    Disk,
    /// The victim itself.
    #[serde(rename = "self")]
    Own,
}

/// A limit that was reached.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Limit {
    /// The file that has it.
    pub(crate) name: LimitFile,
    /// The cgroup that it is set for: the victim's, or one above it.
    pub(crate) group: Group,
    /// What it allows.
    pub(crate) value: f64,
    /// Its unit.
    pub(crate) unit: Unit,
}

/// A number that speaks for something.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Evidence {
    /// What it is a number of.
    pub(crate) name: EvidenceName,
    /// The number; null where it is none.
    pub(crate) value: Option<f64>,
    /// What it is where it is no number; null where it is one.
    pub(crate) text_value: Option<String>,
    /// The unit of `value`; null without.
    pub(crate) unit: Option<Unit>,
    /// Where it comes from: a record, or a file.
    pub(crate) source: String,
    /// The same in words.
    pub(crate) text: String,
}

/// What a piece of evidence is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum EvidenceName {
    /// Lost time, in each second.
    LostTime,
    /// How long one wait lasted.
    LongestWait,
    /// A culprit's part of the waits.
    CulpritShare,
    /// How much the memory of a culprit grew.
    Growth,
    /// Part of a quota's periods in which the group was held.
    ThrottledPeriods,
    /// What a limit allows.
    Limit,
    /// A disk's mean time of a request.
    DiskTime,
    /// The kernel's own pressure of the group, or of the machine.
    Pressure,
    /// Steal.
    Steal,
    /// Threads in uninterruptible sleep since before the session.
    StuckThreads,
    /// The part of the waits in which the group waited for itself.
    OwnShare,
}

/// What is below the thresholds of a finding, and above those of a note.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Note {
    /// Who loses time.
    pub(crate) group: Group,
    /// Which part of the system the time belongs to.
    pub(crate) layer: LayerWord,
    /// Why, within the layer.
    pub(crate) cause: CauseWord,
    /// How much, without what the group took from itself, ns.
    pub(crate) ns: u64,
    /// Its part of the time in which the group wanted to go on, 0 to 1.
    pub(crate) loss_share: f64,
    /// The same in words.
    pub(crate) text: String,
}

/// What was looked at and is no finding.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct RuledOut {
    /// Which part of the system.
    pub(crate) layer: LayerWord,
    /// Which cause of it; the others of `evidence` go with it.
    pub(crate) cause: CauseWord,
    /// Why it is none.
    pub(crate) evidence: Vec<Evidence>,
}

/// What could not be seen.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct NotSeen {
    /// What.
    pub(crate) name: NotSeenName,
    /// Why not, and what may be missed.
    pub(crate) why: String,
    /// What sees it: a command, or a setting; null where nothing does.
    pub(crate) switch_on: Option<String>,
}

/// What can be out of sight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum NotSeenName {
    /// How long each request was at its device.
    DeviceTimes,
    /// Limits of the block layer, and the caps of disks.
    BlockLimits,
    /// Who held a lock.
    LockOwners,
    /// What the exits of virtual CPUs cost.
    Exits,
    /// On what and behind whom tasks are stuck.
    StuckChains,
    /// Pressure stall information.
    Pressure,
    /// What the first second was too short for.
    Triage,
    /// A probe or a field that this kernel lacks.
    Probe,
    /// Anything but files: nothing could be traced.
    Tracing,
}
