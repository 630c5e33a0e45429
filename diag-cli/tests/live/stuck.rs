//! Records of `osdiag hung`: stuck tasks, and who is behind them.

use serde_json::Value;

use crate::record::{Record, number};

/// What must be true of every record of this tool.
pub(crate) fn check(record: &Record) {
    let threshold = record.0["settings"]["thresholds"][0]["value"].as_f64().expect("a threshold");
    let tasks = record.stuck();
    let mut before = u64::MAX;
    for task in tasks {
        assert_eq!(task["state"], "uninterruptible", "{task}");
        let blocked = number(&task["blocked_ns"]);
        assert!(blocked as f64 >= threshold, "not stuck for long enough: {task}");
        assert!(blocked <= before, "not longest first: {tasks:?}");
        let age = clock_ns() - number(&task["task"]["start_ns"]);
        assert!(blocked <= age, "stuck for longer than it is there, {age} ns: {task}");
        before = blocked;
    }
    let groups = record.0["stuck_groups"].as_array().expect("stuck_groups is a list");
    let of = |key: &str| -> u64 { groups.iter().map(|group| number(&group[key])).sum() };
    let all = number(&record.0["task_count"]);
    assert_eq!(tasks.len() as u64 + number(&record.0["tasks_omitted"]["count"]), all, "{}", record.0);
    assert!(of("task_count") <= all, "{}", record.0);
    if number(&record.0["stuck_groups_omitted"]["count"]) == 0 && all <= 20_000 {
        assert_eq!(of("task_count"), all, "groups do not add up: {}", record.0);
    }
    let resolved = tasks.iter().filter(|task| !task["resolved_at"].is_null()).count() as u64;
    assert!(resolved <= number(&record.0["resolved_count"]), "{}", record.0);
    let status = word(&record.0["verdict"], "status");
    assert_eq!(status, if all == 0 { "nothing" } else { "found" }, "{}", record.0);
}

/// Now, by the clock of `start_ns`.
fn clock_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: there is room for a time.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) }, 0);
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

/// A string of a task or a link.
pub(crate) fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// What a task or a link waits for, as `LAYER.CAUSE`; empty where it waits for nothing.
pub(crate) fn cause(value: &Value) -> String {
    match (word(value, "layer"), word(value, "cause")) {
        ("", "") => String::new(),
        (layer, cause) => format!("{layer}.{cause}"),
    }
}

/// The links of a task's chain.
pub(crate) fn links(task: &Value) -> &[Value] {
    task["chain"].as_array().expect("chain is a list")
}

/// The same in words, each as `relation comm state layer.cause`.
pub(crate) fn chain(task: &Value) -> Vec<String> {
    let words = |link: &Value| {
        let parts = [word(link, "relation"), word(&link["task"], "comm"), word(link, "state")];
        let cause = cause(link);
        let parts = parts.into_iter().chain([cause.as_str()]).filter(|part| !part.is_empty());
        parts.collect::<Vec<_>>().join(" ")
    };
    links(task).iter().map(words).collect()
}

impl Record {
    /// The stuck tasks.
    pub(crate) fn stuck(&self) -> &[Value] {
        self.0["tasks"].as_array().expect("tasks is a list")
    }

    /// Those of a process that are still stuck.
    pub(crate) fn stuck_of(&self, pid: u32) -> Vec<&Value> {
        self.of(pid).filter(|task| task["resolved_at"].is_null()).collect()
    }

    /// Those of a process that went on.
    pub(crate) fn went_on(&self, pid: u32) -> Vec<&Value> {
        self.of(pid).filter(|task| !task["resolved_at"].is_null()).collect()
    }

    fn of(&self, pid: u32) -> impl Iterator<Item = &Value> {
        self.stuck().iter().filter(move |task| task["task"]["pid"] == pid)
    }
}
