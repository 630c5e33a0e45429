//! Records of `osdiag hung`: stuck tasks, and who is behind them.

use serde_json::Value;

use crate::record::{Record, number};

const CAUSES: [&str; 7] = ["lock", "block", "journal", "freeze", "network-fs", "fuse", "other"];

/// What must be true of every record of this tool.
pub(crate) fn check(record: &Record) {
    let threshold = number(&record.0["threshold_ns"]);
    let tasks = record.stuck();
    for task in tasks {
        assert_eq!(task["state"], "D", "{task}");
        assert!(number(&task["blocked_ns"]) >= threshold, "not stuck for long enough: {task}");
        assert!(CAUSES.contains(&word(task, "cause")), "{task}");
    }
    let of = |key: &str| -> u64 {
        record.0["groups"].as_array().expect("groups is a list").iter().map(|group| number(&group[key])).sum()
    };
    let listed = tasks.len() as u64 + number(&record.0["more"]);
    assert_eq!(of("tasks"), listed, "groups do not add up: {}", record.0);
    let resolved = tasks.iter().filter(|task| !task["resolved"].is_null()).count() as u64;
    assert!(resolved <= of("resolved") && of("resolved") <= of("tasks"), "{}", record.0);
    assert_eq!(record.0["verdict"].is_null(), listed == 0, "{}", record.0);
}

/// A string of a task or a link.
pub(crate) fn word<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// What a task or a link has behind it, and what that has, as `relation comm state cause`.
pub(crate) fn chain(task: &Value) -> Vec<String> {
    let links = std::iter::successors(Some(&task["behind"]), |link| Some(&link["behind"]));
    let links = links.take_while(|link| !link.is_null());
    links
        .map(|link| {
            let parts = ["relation", "comm", "state", "cause"].map(|key| word(link, key));
            parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" ")
        })
        .collect()
}

impl Record {
    /// The stuck tasks.
    pub(crate) fn stuck(&self) -> &[Value] {
        self.0["tasks"].as_array().expect("tasks is a list")
    }

    /// Those of a process that are still stuck.
    pub(crate) fn stuck_of(&self, pid: u32) -> Vec<&Value> {
        self.stuck().iter().filter(|task| task["pid"] == pid && task["resolved"].is_null()).collect()
    }

    /// Those of a process that went on.
    pub(crate) fn went_on(&self, pid: u32) -> Vec<&Value> {
        self.stuck().iter().filter(|task| task["pid"] == pid && !task["resolved"].is_null()).collect()
    }
}
