//! What a session was asked for, beside its target.

use schemars::JsonSchema;
use serde::Serialize;

/// What a session was asked for, beside its target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Settings {
    /// What the result is broken down by (`--by`); null where the command has no such option.
    pub(crate) by: Option<&'static str>,
    /// The length of an interval, ns; null without `--interval`.
    pub(crate) interval_ns: Option<u64>,
    /// How long the session was to last, ns; null without `--duration`.
    pub(crate) duration_ns: Option<u64>,
    /// From where on something is called slow, stuck, or worth a verdict.
    pub(crate) thresholds: Vec<Threshold>,
}

/// One threshold.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Threshold {
    /// Which one.
    pub(crate) threshold: ThresholdName,
    /// Its value, in `unit`.
    pub(crate) value: f64,
    /// The unit of `value`.
    pub(crate) unit: Unit,
}

/// Which threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum ThresholdName {
    /// `--slow`: a tail, or a wait, is slow from here on.
    Slow,
    /// `--tail`: the part of the operations that is the tail.
    Tail,
    /// `--threshold`: a task is stuck from here on.
    Stuck,
    /// `--slow` of delays: lost time is worth a verdict from here on.
    Loss,
    /// The part of a group's active time that lost time has to be to be worth a verdict.
    LossShare,
    /// Diagnose: a group's time of one cause, without what it took from itself, is a finding from here on.
    Finding,
    /// The part of its active time that it has to be as well.
    FindingShare,
    /// Such time is a note from here on.
    Note,
    /// The part of its active time that it has to be as well.
    NoteShare,
    /// A single wait is a finding from here on.
    SingleWait,
    /// The part of the session that it has to last as well.
    SingleWaitShare,
    /// Another group is a culprit from this part of the time on that the victim waited.
    CulpritShare,
    /// A device is slow from this time of a small request on.
    DeviceTime,
    /// The same of a device that rotates.
    RotatingDeviceTime,
    /// Requests up to this size are small.
    SmallRequest,
    /// A device's time of a request is its own with so many at it at a time at most.
    RequestsInFlight,
    /// Steal hurts from this part of the time on that CPUs ran and were stolen.
    StealShare,
    /// A cause is part of another from this part of its time on.
    FoldShare,
    /// A group that grew by less takes no memory from others.
    Growth,
    /// Pressure hurts from this part of the session on.
    PressureShare,
}

/// A unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Unit {
    /// Nanoseconds.
    Ns,
    /// A part of a whole, 0 to 1.
    Share,
    /// Nanoseconds in each second of the session, of all threads together.
    NsPerSecond,
    /// Bytes.
    Bytes,
    /// A number of things.
    Count,
    /// CPUs: seconds of CPU time in each second.
    Cpus,
}

impl Threshold {
    /// A time.
    pub(crate) fn time(threshold: ThresholdName, time: std::time::Duration) -> Threshold {
        Threshold { threshold, value: time.as_nanos() as f64, unit: Unit::Ns }
    }

    /// A time in each second.
    pub(crate) fn per_second(threshold: ThresholdName, time: std::time::Duration) -> Threshold {
        Threshold { unit: Unit::NsPerSecond, ..Threshold::time(threshold, time) }
    }

    /// A part of a whole.
    pub(crate) fn share(threshold: ThresholdName, value: f64) -> Threshold {
        Threshold { threshold, value, unit: Unit::Share }
    }
}
