//! Records of `osdiag runq`: groups, culprits, CPUs.

use serde_json::Value;

use crate::record::{Record, number};

/// What must be true of every record of this tool.
pub(crate) fn check(record: &Record) {
    let groups = record.groups();
    for group in &groups {
        let named: u64 = group.culprits().iter().map(|culprit| number(&culprit["ns"])).sum();
        let others = number(&group.0["other_culprits_ns"]) + number(&group.0["unattributed_ns"]);
        assert_eq!(named + others, group.delay_ns(), "culprits do not add up: {}", group.0);
        let delay = &group.0["delay"];
        assert!(number(&delay["min_ns"]) <= number(&delay["max_ns"]), "{delay}");
        assert!(number(&delay["p50_ns"]) <= number(&delay["p99_ns"]), "{delay}");
    }
    let rest = &record.0["rest"]["delay"];
    let part = |key: &str| {
        let rest = rest[key].as_u64().unwrap_or_default();
        groups.iter().map(|group| number(&group.0["delay"][key])).sum::<u64>() + rest
    };
    let of_cpus = |key: &str| record.cpus().iter().map(|cpu| number(&cpu["delay"][key])).sum::<u64>();
    // What found no room is missing from the groups alone.
    if number(&record.0["lost"]["cells"]) == 0 {
        assert_eq!(part("count"), of_cpus("count"), "groups and CPUs have not the same waits");
        assert_eq!(part("sum_ns"), of_cpus("sum_ns"), "groups and CPUs have not waited the same time");
    }
    for cpu in record.cpus() {
        let utilization = cpu["utilization"].as_f64().expect("a share");
        assert!((0.0..=1.0).contains(&utilization), "{cpu}");
        // An interval's clock is read a little after the CPUs' own.
        let longest = number(&record.0["duration_ns"]) + 200_000_000;
        assert!(number(&cpu["busy_ns"]) + number(&cpu["idle_ns"]) <= longest, "{cpu}");
    }
}

/// A group of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group<'a>(pub(crate) &'a Value);

impl Group<'_> {
    pub(crate) fn key(&self) -> &str {
        self.0["key"].as_str().expect("a key is text")
    }

    pub(crate) fn count(&self) -> u64 {
        number(&self.0["delay"]["count"])
    }

    pub(crate) fn delay_ns(&self) -> u64 {
        number(&self.0["delay"]["sum_ns"])
    }

    pub(crate) fn max_ns(&self) -> u64 {
        number(&self.0["delay"]["max_ns"])
    }

    pub(crate) fn run_ns(&self) -> u64 {
        number(&self.0["run_ns"])
    }

    pub(crate) fn throttled_ns(&self) -> u64 {
        number(&self.0["throttled_ns"])
    }

    pub(crate) fn unattributed_ns(&self) -> u64 {
        number(&self.0["unattributed_ns"])
    }

    pub(crate) fn culprits(&self) -> &[Value] {
        self.0["culprits"].as_array().expect("a list")
    }

    /// How long a process had the CPU while this group waited, ns.
    pub(crate) fn waited_for(&self, pid: u32) -> u64 {
        self.culprits()
            .iter()
            .filter(|c| c["pid"] == pid && c["kind"] == "task")
            .map(|c| number(&c["ns"]))
            .sum()
    }
}

impl Record {
    /// All groups.
    pub(crate) fn groups(&self) -> Vec<Group<'_>> {
        self.0["groups"].as_array().expect("a list").iter().map(Group).collect()
    }

    /// One group by its key.
    pub(crate) fn group(&self, key: &str) -> Group<'_> {
        let found: Vec<_> = self.groups().into_iter().filter(|group| group.key() == key).collect();
        assert_eq!(
            found.len(),
            1,
            "{key} among {:?}",
            self.groups().iter().map(Group::key).collect::<Vec<_>>()
        );
        found[0]
    }

    /// Switches that the kernel did not tell of. On a busy machine with such a kernel there are some each second.
    pub(crate) fn unseen(&self) -> u64 {
        number(&self.0["lost"]["missed_runs"])
    }

    /// All CPUs.
    pub(crate) fn cpus(&self) -> &[Value] {
        self.0["cpus"].as_array().expect("a list")
    }

    /// Tasks that still waited.
    pub(crate) fn waiting(&self) -> &[Value] {
        self.0["waiting"].as_array().map_or(&[], Vec::as_slice)
    }
}
