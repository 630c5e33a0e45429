//! Records of `osdiag lock`: locks, with who waited and who held.

use serde_json::Value;

use crate::record::{Record, number};

/// What must be true of every record of this tool.
pub(crate) fn check(record: &Record) {
    let complete = ["lock_parts", "identities", "stacks"].iter().all(|key| record.0["lost"][key] == 0);
    for lock in record.locks() {
        let whole = (lock.sum(), lock.count());
        let [callers, waiters, owners] = ["callers", "waiters", "owners"].map(|key| lock.parts(key));
        assert!(callers <= whole && owners <= whole, "parts are more than the whole: {}", lock.0);
        assert!(waiters == whole || !complete && waiters <= whole, "waiters do not add up: {}", lock.0);
        assert_eq!(lock.0["address"].is_string(), lock.0["lock_count"] == 1, "{}", lock.0);
    }
    let sums: Vec<u64> = record.locks().map(Lock::sum).collect();
    assert!(sums.is_sorted_by(|a, b| a >= b), "the longest is not the first: {sums:?}");
}

impl Record {
    /// All locks.
    pub(crate) fn locks(&self) -> impl Iterator<Item = Lock<'_>> {
        self.0["locks"].as_array().expect("locks is a list").iter().map(Lock)
    }

    /// The lock of this type and name for which most time was waited.
    pub(crate) fn lock(&self, kind: &str, name: &str) -> Lock<'_> {
        let mut found = self.locks().filter(|lock| lock.0["lock_type"] == kind && lock.0["name"] == name);
        found.next().unwrap_or_else(|| panic!("no {name} ({kind}) in\n{}", self.lock_outline()))
    }

    /// What a failure message shows.
    pub(crate) fn lock_outline(&self) -> String {
        let mut text = String::new();
        for lock in self.locks() {
            text += &format!(
                "{} {} {}: {} waits, {} ns; in {}; by {}; held by {}\n",
                lock.0["lock_type"],
                lock.0["name"],
                lock.0["address"],
                lock.count(),
                lock.sum(),
                lock.0["callers"][0]["stack"][0],
                lock.0["waiters"][0]["task"]["comm"],
                lock.0["owners"][0]
            );
        }
        text + &format!("verdict {}\nlost {}", self.0["verdict"], self.0["lost"])
    }
}

/// One lock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lock<'a>(pub &'a Value);

impl<'a> Lock<'a> {
    /// How often it was waited for.
    pub(crate) fn count(self) -> u64 {
        number(&self.0["wait"]["count"])
    }

    /// How long, all together, ns.
    pub(crate) fn sum(self) -> u64 {
        number(&self.0["wait"]["sum_ns"])
    }

    /// A list of it.
    pub(crate) fn list(self, key: &str) -> &'a [Value] {
        self.0[key].as_array().map_or(&[], Vec::as_slice)
    }

    /// The time and number of waits in such a list.
    fn parts(self, key: &str) -> (u64, u64) {
        let add = |(ns, waits), part: &Value| (ns + number(&part["ns"]), waits + number(&part["wait_count"]));
        self.list(key).iter().fold((0, 0), add)
    }

    /// The share of time in those of a list that fit.
    pub(crate) fn share(self, key: &str, fits: impl Fn(&Value) -> bool) -> f64 {
        let ns: u64 = self.list(key).iter().filter(|part| fits(part)).map(|part| number(&part["ns"])).sum();
        ns as f64 / self.sum().max(1) as f64
    }
}
