//! From where on something is a finding: the one table, which records show in `settings.thresholds`.

use crate::{
    output::record::settings::{Threshold, ThresholdName, Unit},
    tools::delays,
};

macro_rules! thresholds {
    ($($(#[$doc:meta])* $constant:ident = $name:ident, $value:expr, $unit:ident;)*) => {
        $($(#[$doc])* pub(super) const $constant: f64 = $value;)*

        /// All of them.
        pub(super) fn table() -> Vec<Threshold> {
            vec![$(Threshold { threshold: ThresholdName::$name, value: $constant, unit: Unit::$unit },)*]
        }
    };
}

thresholds! {
    /// Time of a cause, without what the group took from itself, in each second.
    FINDING = Finding, 20e6, NsPerSecond;
    /// Its part of the time in which the group wanted to go on.
    FINDING_SHARE = FindingShare, 0.1, Share;
    /// From here on it is a note.
    NOTE = Note, 10e6, NsPerSecond;
    /// The same, of the group's time.
    NOTE_SHARE = NoteShare, 0.05, Share;
    /// One wait.
    SINGLE_WAIT = SingleWait, 1e9, Ns;
    /// Its part of the session.
    SINGLE_WAIT_SHARE = SingleWaitShare, 0.2, Share;
    /// A culprit's part of the victim's waits.
    CULPRIT_SHARE = CulpritShare, 0.3, Share;
    /// A small request at a device.
    DEVICE_TIME = DeviceTime, 10e6, Ns;
    /// The same where the device rotates.
    ROTATING_DEVICE_TIME = RotatingDeviceTime, 50e6, Ns;
    /// How large a request is that is still small.
    SMALL_REQUEST = SmallRequest, 16384.0, Bytes;
    /// Requests at a device at a time: with more of them its time of a request says how long they queued.
    REQUESTS_IN_FLIGHT = RequestsInFlight, 2.0, Count;
    /// Steal, of the time on CPUs and steal.
    STEAL_SHARE = StealShare, 0.05, Share;
    /// The part of a cause's time that lies in another one.
    FOLD_SHARE = FoldShare, 0.5, Share;
    /// Memory that a group took.
    GROWTH = Growth, delays::growth::LEAST as f64, Bytes;
    /// Pressure, of the session.
    PRESSURE_SHARE = PressureShare, 0.1, Share;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_in_the_table_once_and_in_the_documentation() {
        let page = include_str!("../../../../docs/tools/diagnose.md");
        for (at, threshold) in table().iter().enumerate() {
            assert!(table()[at + 1..].iter().all(|other| other.threshold != threshold.threshold));
            let name = serde_json::to_value(threshold.threshold).unwrap();
            let name = format!("`{}`", name.as_str().unwrap());
            assert!(page.contains(&name), "{name} is not documented");
        }
    }
}
