//! The verdict: who lost most by waiting for a CPU, and to whom.

use std::time::Duration;

use super::{
    advice,
    args::By,
    kin::{Kin, together},
    model::Spectrum,
    policy,
    record::{Cpu, Culprit, CulpritKind, Group, Reason, Verdict},
};
use crate::output::units;

/// Below this share of the time that it ran or was held, a quota is not worth a word.
const LEAST_HELD: f64 = 0.01;
/// Waiting for one's own kind counts so much less than waiting for others: nobody but the group can change it.
const OWN_COUNTS: f64 = 0.05;
/// A CPU that is busy for less than this share could have done more.
const FREE_BELOW: f64 = 0.5;

/// What is known of a session.
#[derive(Clone, Copy)]
pub(super) struct Found<'a> {
    pub(super) by: By,
    pub(super) groups: &'a [Group],
    pub(super) spectra: &'a [Spectrum],
    pub(super) cpus: &'a [Cpu],
    pub(super) slow: Duration,
}

/// Names the group that lost most time in slow waits, or to its quota.
pub(super) fn verdict(found: Found<'_>) -> Option<Verdict> {
    let waits = found
        .groups
        .iter()
        .zip(found.spectra)
        .map(|(group, spectrum)| (group, slow(spectrum, found.slow)))
        .filter(|(_, slow)| slow.count > 0)
        .map(|(group, slow)| (weight(found.by, group, slow.ns), group, slow))
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let held = found
        .groups
        .iter()
        .filter(|group| group.throttled_ns as f64 > LEAST_HELD * (group.throttled_ns + group.run_ns) as f64)
        .filter(|group| u128::from(group.throttled_ns) >= found.slow.as_nanos())
        .max_by_key(|group| group.throttled_ns);
    match (waits, held) {
        (Some((weight, ..)), Some(group)) if group.throttled_ns as f64 > weight => Some(quota(group)),
        (Some((_, group, slow)), _) => Some(waited(found, group, slow)),
        (None, held) => held.map(quota),
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
fn weight(by: By, group: &Group, slow_ns: u64) -> f64 {
    let own = own_share(by, group);
    let waited = group.delay.sum_ns as f64;
    let share = waited / (waited + group.run_ns as f64).max(1.0);
    slow_ns as f64 * share * (1.0 - own.min(1.0) * (1.0 - OWN_COUNTS))
}

/// The share of a group's waiting in which it ran itself.
fn own_share(by: By, group: &Group) -> f64 {
    group.culprits.iter().filter(|culprit| is_own(by, group, culprit)).map(|culprit| culprit.share).sum()
}

/// Whether a culprit belongs to the group that waited.
fn is_own(by: By, group: &Group, culprit: &Culprit) -> bool {
    culprit.kind == CulpritKind::Task
        && match by {
            By::Comm => culprit.comm == group.key,
            By::Pid => Some(culprit.pid) == group.pid,
            By::Cgroup => culprit.cgroup.as_deref() == Some(group.key.as_str()),
            By::Tid | By::Cpu => false,
        }
}

fn quota(group: &Group) -> Verdict {
    let statement = format!(
        "{} was held by its CPU quota for {}, while it ran for {}.",
        subject(group),
        units::time(group.throttled_ns),
        units::time(group.run_ns)
    );
    Verdict {
        key: group.key.clone(),
        reason: Reason::Quota,
        lost_ns: group.throttled_ns,
        culprit: None,
        statement,
        advice: advice::advice(Reason::Quota, None, None),
    }
}

fn waited(found: Found<'_>, group: &Group, slow: Slow) -> Verdict {
    let own = own_share(found.by, group);
    let blamed = group.culprits.iter().filter(|culprit| own >= 0.5 || !is_own(found.by, group, culprit));
    let kin = together(blamed).into_iter().next();
    let first = kin.as_ref().map(|kin| kin.first);
    let reason = reason(found.by, group, first);
    let mut statement = format!(
        "{} waited {} for a CPU in {} of {} and more (p99 {})",
        subject(group),
        units::time(slow.ns),
        units::counted(slow.count, "wait"),
        units::time(found.slow.as_nanos() as u64),
        units::time(group.delay.p99_ns),
    );
    statement += &match (reason, &kin) {
        (Reason::Itself, _) => {
            format!("; {} of its waiting, threads of its own were running.", units::percent(own))
        }
        (_, Some(culprit)) => {
            format!("; {} of its waiting, {}.", units::percent(culprit.share), what(culprit))
        }
        (_, None) => "; who had the CPU meanwhile is not known.".to_owned(),
    };
    let free = free_cpus(found.cpus);
    Verdict {
        key: group.key.clone(),
        reason,
        lost_ns: slow.ns,
        culprit: first.cloned(),
        statement,
        advice: advice::advice(reason, first, free),
    }
}

fn reason(by: By, group: &Group, first: Option<&Culprit>) -> Reason {
    let Some(culprit) = first else { return Reason::Unknown };
    match culprit.kind {
        CulpritKind::Task if is_own(by, group, culprit) => Reason::Itself,
        CulpritKind::Task => match policy::of_process(culprit.pid, &culprit.comm) {
            Some(policy) if policy.is_real_time() => Reason::RealTime,
            _ => Reason::Others,
        },
        CulpritKind::Idle => Reason::IdleCpu,
        CulpritKind::Irq => Reason::Interrupts,
        CulpritKind::Steal => Reason::Steal,
        CulpritKind::Unknown => Reason::Unknown,
    }
}

/// How many CPUs were mostly idle, of how many, while others were not.
fn free_cpus(cpus: &[Cpu]) -> Option<(usize, usize)> {
    let free = cpus.iter().filter(|cpu| cpu.utilization < FREE_BELOW).count();
    let full = cpus.iter().any(|cpu| cpu.utilization > 0.9);
    (free > 0 && full).then_some((free, cpus.len()))
}

/// The group at the beginning of a sentence.
fn subject(group: &Group) -> String {
    match (&group.comm, group.pid) {
        (Some(comm), Some(pid)) if group.key == pid.to_string() => format!("{comm}[{pid}]"),
        (Some(comm), Some(pid)) => format!("{comm}[{pid}/{}]", group.key),
        (None, None) => format!("What ran on CPU {}", group.key),
        _ => group.key.clone(),
    }
}

fn what(kin: &Kin<'_>) -> String {
    match kin.first.kind {
        CulpritKind::Task if kin.processes > 1 => format!("{} were running", kin.name()),
        CulpritKind::Task => format!("{} was running", kin.name()),
        CulpritKind::Idle => "the CPU was idle and had not taken up the wake-up yet".to_owned(),
        CulpritKind::Irq => "the CPU was busy with interrupts".to_owned(),
        CulpritKind::Steal => "the hypervisor ran something else".to_owned(),
        CulpritKind::Unknown => "tasks that could not be told apart were running".to_owned(),
    }
}

/// What to say where there is no verdict.
pub(super) fn nothing_slow(groups: &[Group], slow: Duration) -> String {
    let slowest = groups.iter().max_by_key(|group| group.delay.max_ns).filter(|group| group.delay.count > 0);
    match slowest {
        None => "Nothing waited for a CPU.".to_owned(),
        Some(group) => format!(
            "Nothing is slow: no wait reached {}; the longest was {} of {}.",
            humantime::format_duration(slow),
            units::time(group.delay.max_ns),
            subject(group)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools::runq::sample::{cpu, culprit, group, spectrum};

    const SLOW: Duration = Duration::from_millis(1);

    fn of(by: By, groups: &[Group], cpus: &[Cpu]) -> Option<Verdict> {
        let spectra: Vec<Spectrum> = groups.iter().map(spectrum).collect();
        verdict(Found { by, groups, spectra: &spectra, cpus, slow: SLOW })
    }

    #[test]
    fn a_victim_comes_before_those_who_crowd_each_other() {
        let hogs = group("hog", 100, 10_000_000, vec![culprit("hog", 7, 100, 10_000_000, 0.98)]);
        let web = group("web", 60, 8_000_000, vec![culprit("hog", 7, 60, 8_000_000, 0.97)]);
        let verdict = of(By::Comm, &[hogs, web], &[cpu(0, 1.0), cpu(1, 0.1)]).unwrap();
        assert_eq!((verdict.key.as_str(), verdict.reason), ("web", Reason::Others));
        assert!(verdict.statement.contains("hog[7] was running"), "{}", verdict.statement);
        assert!(verdict.advice.iter().any(|advice| advice.contains("1 of 2 CPUs")), "{:?}", verdict.advice);
    }

    #[test]
    fn a_group_alone_waits_for_itself() {
        let hogs = group("hog", 100, 10_000_000, vec![culprit("hog", 7, 100, 10_000_000, 0.98)]);
        let verdict = of(By::Comm, &[hogs], &[cpu(0, 1.0)]).unwrap();
        assert_eq!(verdict.reason, Reason::Itself);
        assert!(verdict.statement.contains("98 % of its waiting"), "{}", verdict.statement);
    }

    #[test]
    fn a_quota_is_a_reason_without_any_wait() {
        let mut held = group("batch", 3, 5_000, vec![]);
        (held.throttled_ns, held.run_ns) = (4_000_000_000, 1_000_000_000);
        let verdict = of(By::Comm, &[held], &[cpu(0, 0.2)]).unwrap();
        assert_eq!((verdict.reason, verdict.lost_ns), (Reason::Quota, 4_000_000_000));
        assert!(verdict.advice[0].contains("cpu.max"), "{:?}", verdict.advice);
    }

    #[test]
    fn nothing_below_the_bound_is_slow() {
        let groups = [group("web", 100, 20_000, vec![])];
        assert_eq!(of(By::Comm, &groups, &[cpu(0, 0.2)]), None);
        assert!(nothing_slow(&groups, SLOW).contains("20 µs of web"), "{}", nothing_slow(&groups, SLOW));
        assert_eq!(nothing_slow(&[], SLOW), "Nothing waited for a CPU.");
    }
}
