//! Records of `osdiag runq`: groups, culprits, CPUs.

use serde_json::Value;

use crate::record::{Record, number};

/// What must be true of every record of this tool.
pub(crate) fn check(record: &Record) {
    let groups = record.groups();
    for group in &groups {
        let named: u64 = group.culprits().iter().map(|culprit| number(&culprit["ns"])).sum();
        let or_none = |key: &str| group.0[key].as_u64().unwrap_or_default();
        let others = number(&group.0["culprits_omitted"]["ns"]) + group.unattributed_ns();
        let others = others + number(&group.0["idle_ns"]) + or_none("irq_ns") + or_none("steal_ns");
        assert_eq!(named + others, group.delay_ns(), "culprits do not add up: {}", group.0);
        for culprit in group.culprits() {
            let share = culprit["share"].as_f64().expect("a share");
            assert!((0.0..=1.0).contains(&share), "{culprit}");
        }
        assert!(group.wake_ns() <= group.delay_ns(), "{}", group.0);
        let delay = &group.0["delay"];
        if group.count() > 0 {
            assert!(number(&delay["min_ns"]) <= number(&delay["max_ns"]), "{delay}");
            assert!(number(&delay["p50_ns"]) <= number(&delay["p99_ns"]), "{delay}");
        }
    }
    let part = |key: &str| groups.iter().map(|group| number(&group.0["delay"][key])).sum::<u64>();
    let of_cpus = |key: &str| record.cpus().iter().map(|cpu| number(&cpu["delay"][key])).sum::<u64>();
    // What found no room is missing from the groups alone.
    if number(&record.0["lost"]["cells"]) == 0 {
        // On each CPU a program can be under way when an epoch ends, and count a wait in one table before that and in the other after.
        let (groups, cpus) = (part("count"), of_cpus("count"));
        let under_way = record.cpus().len() as u64;
        assert!(groups.abs_diff(cpus) <= under_way, "groups have {groups} waits, and CPUs {cpus}");
        assert_eq!(part("sum_ns"), of_cpus("sum_ns"), "groups and CPUs have not waited the same time");
    }
    for cpu in record.cpus() {
        let busy_share = cpu["busy_share"].as_f64().expect("a share");
        assert!((0.0..=1.0).contains(&busy_share), "{cpu}");
        // An interval's clock is read a little after the CPUs' own.
        let longest = number(&record.0["duration_ns"]) + 200_000_000;
        assert!(number(&cpu["busy_ns"]) + number(&cpu["idle_ns"]) <= longest, "{cpu}");
    }
}

/// A group of a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Group<'a>(pub(crate) &'a Value);

impl Group<'_> {
    /// What it is known by, whatever that is.
    pub(crate) fn key(&self) -> String {
        let group = &self.0["group"];
        match group["type"].as_str().expect("a type is text") {
            "comm" => group["comm"].as_str().expect("a name is text").to_owned(),
            "process" => number(&group["pid"]).to_string(),
            "thread" => number(&group["tid"]).to_string(),
            "cgroup" => {
                group["cgroup"].as_str().map_or_else(|| group["cgroup_id"].to_string(), str::to_owned)
            }
            "cpu" => number(&self.0["cpu"]).to_string(),
            other => other.to_owned(),
        }
    }

    /// What it lost most of its time to.
    pub(crate) fn reason(&self) -> Option<&str> {
        self.0["reason"].as_str()
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

    /// Of its waits, the time from being woken to being queued.
    pub(crate) fn wake_ns(&self) -> u64 {
        number(&self.0["wake_ns"])
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
            .filter(|culprit| culprit["task"]["pid"] == pid)
            .map(|culprit| number(&culprit["ns"]))
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
        self.0["cpu_times"].as_array().expect("a list")
    }

    /// The group that the verdict is about.
    pub(crate) fn verdict_group(&self) -> Group<'_> {
        let subject = &self.0["verdict"]["subject"];
        let all = self.groups();
        let same = |group: &&Group<'_>| group.0["group"] == subject["group"];
        *all.iter().find(same).unwrap_or_else(|| panic!("{} is in no group", self.0["verdict"]))
    }

    /// Tasks that still waited.
    pub(crate) fn waiting(&self) -> &[Value] {
        self.0["waiting"].as_array().map_or(&[], Vec::as_slice)
    }
}
