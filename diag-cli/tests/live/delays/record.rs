//! Records of `osdiag delays`: groups, causes, places.

use serde_json::Value;

use crate::record::{Record, number};

/// How far parts may be from the whole where a boundary falls into a program that counts, ns.
const BOUNDARY_NS: u64 = 1_000_000;

/// What must be true of every record of this tool.
pub(crate) fn check(record: &Record) {
    for group in groups(record) {
        let whole = group.thread_ns();
        let unaccounted = group.0["unaccounted_ns"].as_i64().expect("a difference");
        assert!(
            unaccounted.unsigned_abs() <= whole / 1000 + BOUNDARY_NS,
            "{unaccounted} of {whole} ns are in no part: {}",
            group.0["group"]
        );
        let layers = group.0["layers"].as_object().expect("layers");
        let layers: u64 =
            layers.values().map(|layer| layer["ns"].as_u64().unwrap_or_else(|| number(layer))).sum();
        let parts = whole.cast_signed() - unaccounted;
        assert_eq!(layers.cast_signed(), parts, "layers are not the parts: {}", group.0["layers"]);
        for cause in group.causes() {
            assert!(number(&cause["on_cpu_ns"]) <= number(&cause["ns"]), "{cause}");
            let share = cause["share"].as_f64().expect("a share");
            assert!((0.0..=1.0).contains(&share), "{cause}");
            assert_eq!(cause["wait_count"], cause["wait"]["count"], "{cause}");
        }
    }
}

/// The groups of a record.
pub(crate) fn groups(record: &Record) -> Vec<Group<'_>> {
    record.0["groups"].as_array().expect("groups").iter().map(Group).collect()
}

/// The group whose threads have a name.
pub(crate) fn named<'a>(record: &'a Record, comm: &str) -> Group<'a> {
    let found = groups(record).into_iter().find(|group| group.0["group"]["comm"] == comm);
    found.unwrap_or_else(|| panic!("no group {comm} in {}", record.0["groups"]))
}

/// A group of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group<'a>(pub(crate) &'a Value);

impl<'a> Group<'a> {
    /// The time for which its threads were there, ns.
    pub(crate) fn thread_ns(&self) -> u64 {
        number(&self.0["thread_ns"])
    }

    /// How many threads it had.
    pub(crate) fn thread_count(&self) -> u64 {
        number(&self.0["thread_count"])
    }

    /// Its causes.
    pub(crate) fn causes(&self) -> &'a [Value] {
        self.0["causes"].as_array().expect("causes")
    }

    /// The time of a cause, ns.
    pub(crate) fn ns(&self, layer: &str, cause: &str) -> u64 {
        self.sum(layer, cause, |found| number(&found["ns"]))
    }

    /// The waits for a cause that ended.
    pub(crate) fn waits(&self, layer: &str, cause: &str) -> u64 {
        self.sum(layer, cause, |found| number(&found["wait_count"]))
    }

    fn sum(&self, layer: &str, cause: &str, of: impl Fn(&Value) -> u64) -> u64 {
        let is = |found: &&Value| found["layer"] == layer && found["cause"] == cause;
        self.causes().iter().filter(is).map(of).sum()
    }

    /// The time that its threads slept at a place, ns.
    pub(crate) fn asleep_ns(&self, place: &str) -> u64 {
        let places = self.0["places"].as_array().expect("places");
        places.iter().filter(|found| found["place"] == place).map(|found| number(&found["ns"])).sum()
    }
}
