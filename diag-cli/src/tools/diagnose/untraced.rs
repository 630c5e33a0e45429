//! What files alone say, where the kernel cannot be traced: what hurts, but not whom.

use std::collections::HashMap;

use super::{
    not_seen,
    record::{Diagnosis, Signal, SignalName},
    signals,
    triage::{self, First, Stuck},
};
use crate::{
    output::{
        record::{
            Unavailable,
            parties::Group,
            verdict::{Status, Verdict},
        },
        units,
    },
    target::{CgroupNames, places::Places},
};

/// Signals that the statement names, and stuck threads.
const SAID: usize = 6;
const STUCK: usize = 3;

/// What is concluded; without a verdict, since no time of a thread is known.
pub(super) fn diagnosis(
    first: Option<&First>,
    unavailable: &[Unavailable],
    cgroups: Option<&mut CgroupNames>,
) -> Diagnosis {
    let mut places = Places::new(cgroups);
    let mut seen = Vec::new();
    let mut stuck: &[Stuck] = &[];
    if let Some(first) = first {
        let last = triage::last(&first.reading);
        let disks = signals::disks(&first.reading, &last);
        seen = signals::signals(&first.reading, &last, &disks, first.stuck.len() as u64, &mut places);
        stuck = &first.stuck;
    }
    Diagnosis {
        verdict: Verdict::without_subject(Status::Blind, statement(&seen, stuck)),
        not_seen: not_seen::without_tracing(first, unavailable),
        signals: seen,
        findings: Vec::new(),
        notes: Vec::new(),
        ruled_out: Vec::new(),
    }
}

/// What hurts by its number: of the machine first, then of the group that each kind of number is highest of.
fn statement(signals: &[Signal], stuck: &[Stuck]) -> String {
    // The root cgroup's numbers are the machine's.
    let is_root =
        |signal: &Signal| signal.group.as_ref().is_some_and(|group| group.cgroup.as_deref() == Some("/"));
    let hurting = || signals.iter().filter(|signal| signal.hurts == Some(true) && !is_root(signal));
    let mut highest: HashMap<SignalName, &Signal> = HashMap::new();
    for signal in hurting().filter(|signal| signal.group.is_some()) {
        let highest = highest.entry(signal.signal).or_insert(signal);
        if signal.value > highest.value {
            *highest = signal;
        }
    }
    let of_machine = hurting().filter(|signal| signal.group.is_none());
    let of_groups = hurting()
        .filter(|signal| highest.get(&signal.signal).is_some_and(|highest| std::ptr::eq(*highest, *signal)));
    let said: Vec<String> =
        of_machine.chain(of_groups).take(SAID).map(|signal| words(signal, stuck)).collect();
    const UNKNOWN: &str = "The kernel cannot be traced, so it is not known who lost time to what.";
    if said.is_empty() {
        return format!("{UNKNOWN} None of the files that are read shows anything that hurts.");
    }
    format!("{UNKNOWN} What hurts by the kernel's own files: {}.", said.join("; "))
}

/// A number that hurts, as part of a sentence.
fn words(signal: &Signal, stuck: &[Stuck]) -> String {
    let Signal { value, source, .. } = signal;
    let part = || units::percent(*value);
    let count = |noun| units::counted(*value as u64, noun);
    let waited = |what| match &signal.group {
        None => format!("tasks waited for {what} for {} of the time ({source})", part()),
        Some(group) => {
            format!("of {}, tasks waited for {what} for {} of the time ({source})", group.label(), part())
        }
    };
    match signal.signal {
        SignalName::CpuPressure => waited("a CPU"),
        SignalName::MemoryPressure => waited("memory"),
        SignalName::IoPressure => waited("I/O"),
        SignalName::ThrottledPeriods => format!(
            "{} was held by its CPU quota in {} of the periods ({source})",
            signal.group.as_ref().map_or_else(String::new, Group::label),
            part(),
        ),
        SignalName::Steal => format!("the host took {} of the CPU time (steal, {source})", part()),
        SignalName::ReclaimStalls => {
            format!("tasks went into direct reclaim {} ({source})", count("time"))
        }
        SignalName::PagesSwappedIn => format!("{} came from swap ({source})", count("page")),
        SignalName::MemoryKills => format!("the OOM killer killed {} ({source})", count("task")),
        SignalName::DiskTime => {
            format!("a request took {} on average ({source})", units::time(*value as u64))
        }
        SignalName::StuckThreads => {
            let named = stuck.iter().take(STUCK).map(|stuck| format!("{}[{}]", stuck.comm, stuck.tid));
            let named: Vec<String> = named.collect();
            format!("{} in D state since before ({}; {source})", count("thread"), named.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::record::{parties::GroupType, settings::Unit};

    fn signal(signal: SignalName, group: Option<Group>, value: f64, hurts: bool) -> Signal {
        Signal {
            signal,
            group,
            value,
            unit: Unit::Share,
            hurts_from: Some(0.1),
            hurts: Some(hurts),
            source: "a file",
        }
    }

    #[test]
    fn what_hurts_is_said_of_the_machine_and_of_the_worst_group() {
        let group =
            |path: &str| Some(Group { cgroup: Some(path.to_owned()), ..Group::of(GroupType::Cgroup) });
        let all = [
            signal(SignalName::CpuPressure, None, 0.71, true),
            signal(SignalName::IoPressure, None, 0.02, false),
            signal(SignalName::StuckThreads, None, 1.0, true),
            signal(SignalName::CpuPressure, group("/"), 0.71, true),
            signal(SignalName::CpuPressure, group("/quiet"), 0.2, true),
            signal(SignalName::CpuPressure, group("/web"), 0.6, true),
        ];
        let stuck = [Stuck { pid: 7, tid: 8, comm: "tar".to_owned(), cgroups: Vec::new() }];
        assert_eq!(
            statement(&all, &stuck),
            "The kernel cannot be traced, so it is not known who lost time to what. What hurts by the kernel's own files: \
             tasks waited for a CPU for 71 % of the time (a file); 1 thread in D state since before (tar[8]; a file); \
             of /web, tasks waited for a CPU for 60 % of the time (a file)."
        );
        assert!(
            statement(&all[1..2], &[])
                .ends_with("None of the files that are read shows anything that hurts.")
        );
    }
}
