//! The verdict: who lost most by waiting for a CPU, and to whom.

use std::time::Duration;

use diag_common::cause::Cause;

use super::{
    advice::{self, Situation},
    kin::Kin,
    model::{Facts, Spectrum},
    reason::{Largest, Policies, of_waiting},
    record::{CpuTime, Group, Reason},
    rivalry::{self, Cgroups},
    starved::starved,
    waiting::Waiting,
};
use crate::output::{
    record::{
        cause::{CauseWord, LayerWord},
        parties::GroupType,
        verdict::{Status, Subject, SubjectType, Verdict},
    },
    units::{self, share},
};

/// Below this share of the time that it ran or was held, a quota is not worth a word.
const LEAST_HELD: f64 = 0.01;
/// Waiting for one's own threads counts so much less than waiting for others: nobody but the group can change it.
const OWN_COUNTS: f64 = 0.05;
/// From this share of the waiting on, the groups are as good as complete.
const NEARLY_ALL: f64 = 0.99;
/// A CPU that is busy for less than this share could have done more.
const FREE_BELOW: f64 = 0.5;

/// What is known of a session.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) groups: &'a [Group],
    pub(super) facts: &'a [Facts],
    pub(super) cpu_times: &'a [CpuTime],
    pub(super) waiting: &'a [Waiting],
    /// Those of the cpu controller.
    pub(super) cgroups: Option<Cgroups<'a>>,
    pub(super) slow: Duration,
}

/// Names the group that lost most time in slow waits, or to its quota; or the task that has waited longer than that, and
/// still does.
pub(super) fn verdict(found: Found<'_>, policies: &mut Policies) -> Verdict {
    let ended = of_groups(found, policies);
    let slow_ns = found.slow.as_nanos();
    let waiting = found.waiting.first().filter(|waiting| u128::from(waiting.waited_ns) >= slow_ns);
    let mut verdict = match (ended, waiting) {
        (Some(verdict), Some(waiting)) if verdict.ns.unwrap_or(0) < waiting.waited_ns => {
            starved(found, waiting)
        }
        (Some(verdict), _) => verdict,
        (None, Some(waiting)) => starved(found, waiting),
        (None, None) => Verdict::nothing(nothing_slow(found.groups, found.slow)),
    };
    if let Some(part) = part_held(found) {
        verdict.statement +=
            &format!(" The groups hold only {part} of all waiting; the others found no room.");
    }
    verdict
}

/// How much of the waiting of all CPUs is in groups, where that is not nearly all.
fn part_held(found: Found<'_>) -> Option<String> {
    let groups: u64 = found.groups.iter().map(|group| group.delay.sum_ns).sum();
    let cpus: u64 = found.cpu_times.iter().map(|cpu| cpu.delay.sum_ns).sum();
    let part = share(groups, cpus);
    (cpus > 0 && part < NEARLY_ALL).then(|| units::percent(part))
}

fn of_groups(found: Found<'_>, policies: &mut Policies) -> Option<Verdict> {
    let named =
        || found.groups.iter().zip(found.facts).filter(|(group, _)| group.group.kind != GroupType::Rest);
    let waits = named()
        .map(|(group, facts)| (group, facts, slow(&facts.spectrum, found.slow)))
        .filter(|(.., slow)| slow.count > 0)
        .map(|(group, facts, slow)| (weight(group, facts, slow.ns), group, facts, slow))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let held = named()
        .filter(|(group, _)| {
            group.throttled_ns as f64 > LEAST_HELD * (group.throttled_ns + group.run_ns) as f64
        })
        .filter(|(group, _)| u128::from(group.throttled_ns) >= found.slow.as_nanos())
        .max_by_key(|(group, _)| group.throttled_ns);
    match (waits, held) {
        (Some((weight, ..)), Some((group, facts))) if group.throttled_ns as f64 > weight => {
            Some(quota(found, group, facts))
        }
        (Some((_, group, facts, slow)), _) => {
            let largest = of_waiting(group, facts, policies);
            Some(waited(found, group, facts, slow, &largest))
        }
        (None, held) => held.map(|(group, facts)| quota(found, group, facts)),
    }
}

/// Waits that are slow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Slow {
    count: u64,
    ns: u64,
}

fn slow(spectrum: &Spectrum, slow: Duration) -> Slow {
    let least = slow.as_nanos().max(1);
    let cells = spectrum.values().filter(|cell| cell.count > 0 && u128::from(cell.ns / cell.count) >= least);
    cells.fold(Slow::default(), |sum, cell| Slow { count: sum.count + cell.count, ns: sum.ns + cell.ns })
}

/// How much a group's slow waits count: more for one that mostly waits than for one that mostly runs.
fn weight(group: &Group, facts: &Facts, slow_ns: u64) -> f64 {
    let waited = group.delay.sum_ns as f64;
    let own = facts.own_ns() as f64 / waited.max(1.0);
    let part = waited / (waited + group.run_ns as f64).max(1.0);
    slow_ns as f64 * part * (1.0 - own.min(1.0) * (1.0 - OWN_COUNTS))
}

/// A verdict on a group, of whose running and waiting `ns` are of this cause.
fn on(group: &Group, cause: Cause, ns: u64, statement: String, advice: &Situation<'_>) -> Verdict {
    let kind = if group.cpu.is_some() { SubjectType::Cpu } else { SubjectType::Group };
    let time_ns = group.delay.sum_ns + group.throttled_ns + group.run_ns;
    Verdict {
        status: Status::Found,
        statement,
        subject: Some(Subject { group: Some(group.group.clone()), ..Subject::named(kind, group.label()) }),
        layer: Some(LayerWord(cause.layer())),
        cause: Some(CauseWord(cause)),
        via: None,
        share: Some(share(ns, time_ns)),
        ns: Some(ns),
        advice: Some(advice::advice(advice)),
    }
}

fn quota(found: Found<'_>, group: &Group, facts: &Facts) -> Verdict {
    let statement = format!(
        "{} was held by its CPU quota for {}, while it ran for {}.",
        subject(group),
        units::time(group.throttled_ns),
        units::time(group.run_ns)
    );
    let victim = facts.member.as_ref();
    let quota = found.cgroups.zip(victim).and_then(|(cgroups, task)| cgroups.quota(task.cgroup.as_deref()?));
    let situation = Situation { reason: Some(Reason::Quota), victim, quota, ..Situation::default() };
    on(group, Cause::Throttled, group.throttled_ns, statement, &situation)
}

fn waited(found: Found<'_>, group: &Group, facts: &Facts, slow: Slow, largest: &Largest<'_>) -> Verdict {
    let percent = |ns| units::percent(share(ns, group.delay.sum_ns));
    let mut statement = format!(
        "{} waited {} for a CPU in {} of {} and more (p99 {})",
        subject(group),
        units::time(slow.ns),
        units::counted(slow.count, "wait"),
        units::time(found.slow.as_nanos() as u64),
        units::time_or_dash(group.delay.p99_ns),
    );
    let part = percent(largest.ns);
    statement += &match (largest.reason, &largest.tasks) {
        (Some(Reason::Itself), _) if group.cpu.is_some() => {
            format!("; {part} of that, threads of the waiting processes themselves were running.")
        }
        (Some(Reason::Itself), _) => format!("; {part} of its waiting, threads of its own were running."),
        (Some(Reason::Others | Reason::RealTime), Some(kin)) => {
            format!("; {} of its waiting, {} running.", percent(kin.ns), subject_of(kin))
        }
        (Some(Reason::Others | Reason::RealTime), None) => {
            format!("; {part} of its waiting, others were running, none of them most of the time.")
        }
        (Some(Reason::IdleCpu), _) => {
            format!("; {part} of its waiting, the CPU was idle and had not taken up the wake-up yet.")
        }
        (Some(Reason::Interrupts), _) => {
            format!("; {part} of its waiting, the CPU was busy with interrupts.")
        }
        (Some(Reason::Steal), _) => {
            format!("; {part} of its waiting, the hypervisor ran something else.")
        }
        (Some(Reason::Quota) | None, _) => {
            format!("; for {} of it, it is not known who had the CPU.", percent(group.unattributed_ns))
        }
    };
    let (cause, ns) = match largest.reason {
        Some(Reason::Interrupts) => (Cause::Irq, largest.ns),
        Some(Reason::Steal) => (Cause::Steal, largest.ns),
        _ => (Cause::Runqueue, slow.ns),
    };
    let victim = facts.member.as_ref();
    let culprit = largest.tasks.as_ref().map(|kin| kin.first);
    let both = culprit.zip(victim);
    let situation = Situation {
        reason: largest.reason,
        victim,
        culprit,
        rivalry: both.and_then(|(culprit, victim)| rivalry::between(found.cgroups, culprit, victim)),
        quota: None,
        free: free_cpus(found.cpu_times),
        starved: false,
    };
    on(group, cause, ns, statement, &situation)
}

fn subject_of(kin: &Kin<'_>) -> String {
    format!("{} {}", kin.name(), if kin.processes() > 1 { "were" } else { "was" })
}

/// Which CPUs were mostly idle while others were not, and all of them.
fn free_cpus(cpus: &[CpuTime]) -> Option<(Vec<u32>, Vec<u32>)> {
    let numbers = |below: f64| cpus.iter().filter(move |cpu| cpu.busy_share < below).map(|cpu| cpu.cpu);
    let free: Vec<u32> = numbers(FREE_BELOW).collect();
    let full = cpus.iter().any(|cpu| cpu.busy_share > 0.9);
    (!free.is_empty() && full).then(|| (free, numbers(f64::INFINITY).collect()))
}

/// The group at the beginning of a sentence.
fn subject(group: &Group) -> String {
    match group.cpu {
        Some(cpu) => format!("What ran on CPU {cpu}"),
        None => group.label(),
    }
}

fn nothing_slow(groups: &[Group], slow: Duration) -> String {
    let longest =
        groups.iter().filter_map(|group| Some((group.delay.max_ns?, group))).max_by_key(|one| one.0);
    match longest {
        None => "Nothing waited for a CPU.".to_owned(),
        Some((max_ns, group)) => format!(
            "Nothing is slow: no wait reached {}; the longest was {} of {}.",
            humantime::format_duration(slow),
            units::time(max_ns),
            group.label()
        ),
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
