//! Findings in sentences, and the numbers that they rest on.

use diag_common::cause::{Cause, Layer};

use super::{
    facts::{Facts, is_notable, longest},
    findings::{Case, Found},
    healthy::{Health, steal_share},
    record::{Blame, Evidence, EvidenceName, Limit},
};
use crate::{
    output::{
        causes::{noun, phrase},
        record::{parties::Resource, settings::Unit},
        units::{self, share},
    },
    tools::delays::{
        culprits::had,
        record::{Group as Account, LongWait},
    },
};

/// Pieces of evidence of a finding at most.
const EVIDENCE: usize = 6;

/// Where numbers of the account come from.
pub(super) const DELAYS: &str = "osdiag.delays/1";

/// One sentence: who, how much, to what, because of whom.
pub(super) fn statement(facts: &Facts<'_>, found: &Found<'_>) -> String {
    let Case { account, lost, ns, .. } = &found.case;
    let part = share(*ns, account.active_ns()).min(1.0);
    let mut text = format!(
        "{} lost {} in {}, {} of the time in which it had work, to {}",
        account.group.label(),
        units::time(*ns),
        units::time(facts.lasted_ns),
        units::percent(part),
        phrase(lost.cause),
    );
    if let Some(via) = lost.via {
        text += &format!(", which was itself held up by {}", noun(via));
    }
    text += &because(facts, found);
    if found.victims.len() > 1 {
        let others = units::counted(found.victims.len() as u64 - 1, "other group");
        text += &format!("; so did {others}");
    }
    text.push('.');
    let open = longest(account, lost.cause).filter(|wait| wait.open && wait.ns >= 1_000_000_000);
    if let Some(wait) = open {
        text += &format!(" {} has waited for {} and still does.", wait.task.label(), units::time(wait.ns));
    }
    text
}

fn because(facts: &Facts<'_>, found: &Found<'_>) -> String {
    let culprit = found.culprits.iter().find(|culprit| is_notable(culprit));
    match (found.blame, &found.limit, culprit) {
        (Some(Blame::OwnLimit), Some(limit), _) => format!(", because of {}", limit_in_words(limit)),
        (_, _, Some(culprit)) => format!(", because {}", had(culprit, false)),
        (Some(Blame::Disk), ..) => match facts.slow_disk_of(found.case.account) {
            Some(disk) => format!(
                ", because {} takes {} for a small request",
                disk.name,
                units::time(disk.mean_ns().unwrap_or_default())
            ),
            None => String::new(),
        },
        (Some(Blame::Host), ..) if found.case.lost.root() == Cause::Runqueue => {
            ", because the host ran something else on the CPUs".to_owned()
        }
        _ => String::new(),
    }
}

fn limit_in_words(limit: &Limit) -> String {
    let value = match limit.unit {
        Unit::Bytes => units::bytes(limit.value as u64),
        _ => format!("{:.2} CPUs", limit.value),
    };
    format!("{} = {value} of {}", limit.name.name(), limit.group.label())
}

/// What a finding rests on, most telling first.
pub(super) fn evidence(facts: &Facts<'_>, found: &Found<'_>) -> Vec<Evidence> {
    let Case { account, lost, .. } = &found.case;
    let mut list = vec![lost_time(facts, &found.case)];
    list.extend(found.culprits.iter().filter(|culprit| is_notable(culprit)).take(1).map(|culprit| {
        let name = match culprit.resource {
            Resource::Memory => EvidenceName::Growth,
            _ => EvidenceName::CulpritShare,
        };
        number(name, culprit.share, Unit::Share, DELAYS, had(culprit, false))
    }));
    let held = facts.limits.of(&account.group);
    if let Some(limit) = &found.limit {
        list.push(number(
            EvidenceName::Limit,
            limit.value,
            limit.unit,
            limit.name.name(),
            limit_in_words(limit),
        ));
    }
    if let (Cause::Throttled, Some(throttled)) = (lost.root(), held.throttled) {
        let text = format!("its quota held it in {} of the periods", units::percent(throttled));
        list.push(number(EvidenceName::ThrottledPeriods, throttled, Unit::Share, "cpu.stat", text));
    }
    if found.blame == Some(Blame::Disk)
        && let Some(disk) = facts.slow_disk_of(account)
    {
        list.extend(disk.mean_ns().map(|mean| {
            let size = units::bytes(disk.mean_bytes().unwrap_or_default());
            let text = format!(
                "{}: {} of {size} took {} on average",
                disk.name,
                units::counted(disk.requests, "request"),
                units::time(mean)
            );
            number(EvidenceName::DiskTime, mean as f64, Unit::Ns, "/proc/diskstats", text)
        }));
    }
    let stuck: Vec<_> =
        facts.stuck.iter().filter(|(group, _)| group.as_ref() == Some(&account.group)).collect();
    if let [(_, first), ..] = stuck[..] {
        let count = stuck.len() as u64;
        let text = format!(
            "{} in uninterruptible sleep since before the start, such as {}[{}]",
            units::counted(count, "thread"),
            first.comm,
            first.tid
        );
        list.push(number(EvidenceName::StuckThreads, count as f64, Unit::Count, "/proc/PID/status", text));
    }
    if lost.root().layer() == Layer::Hypervisor || found.blame == Some(Blame::Host) {
        let steal = steal_share(account);
        let text = format!("the host took {} of its CPU time", units::percent(steal));
        list.push(number(EvidenceName::Steal, steal, Unit::Share, DELAYS, text));
    }
    let wait = longest(account, lost.cause);
    let is_long = |wait: &&LongWait| wait.ns >= facts.single_wait_ns();
    list.extend(wait.filter(is_long).map(longest_wait));
    list.extend(pressure(account, lost.root(), facts.lasted_ns));
    list.extend(wait.filter(|wait| !is_long(wait)).map(longest_wait));
    list.truncate(EVIDENCE);
    list
}

fn longest_wait(wait: &LongWait) -> Evidence {
    let place = wait.place.as_ref().map(|place| format!(" in {place}")).unwrap_or_default();
    let still = if wait.open { ", and goes on" } else { "" };
    let text = format!(
        "the longest single wait lasted {}, of {}{place}{still}",
        units::time(wait.ns),
        wait.task.label()
    );
    number(EvidenceName::LongestWait, wait.ns as f64, Unit::Ns, DELAYS, text)
}

fn lost_time(facts: &Facts<'_>, case: &Case<'_>) -> Evidence {
    let waits = case.account.causes.iter().filter(|part| part.keys.cause == case.lost.cause);
    let (mut count, mut p99) = (0, None);
    for part in waits {
        count += part.wait_count;
        p99 = p99.max(part.wait.p99_ns);
    }
    let mut text = format!(
        "{} of {} in {}: {}",
        units::time(case.ns),
        case.lost.cause.path(),
        units::time(facts.lasted_ns),
        units::counted(count, "wait"),
    );
    if let Some(p99) = p99 {
        text += &format!(", p99 {}", units::time(p99));
    }
    number(EvidenceName::LostTime, facts.per_second(case.ns), Unit::NsPerSecond, DELAYS, text)
}

/// The kernel's own pressure of a group, of what its cause belongs to.
fn pressure(account: &Account, root: Cause, lasted_ns: u64) -> Option<Evidence> {
    let pressure = account.pressure?;
    let (file, ns) = match root.layer() {
        Layer::Cpu => ("cpu.pressure", pressure.cpu_some_ns?),
        Layer::Memory => ("memory.pressure", pressure.memory_some_ns?),
        Layer::Block | Layer::Filesystem => ("io.pressure", pressure.io_some_ns?),
        _ => return None,
    };
    let part = share(ns, lasted_ns).min(1.0);
    let text = format!("some of its tasks were stalled for {} of the time", units::percent(part));
    Some(number(EvidenceName::Pressure, part, Unit::Share, file, text))
}

/// Why a case is healthy, in words; none where it is not.
pub(super) fn excuse(facts: &Facts<'_>, case: &Case<'_>) -> Option<String> {
    let who = case.account.group.label();
    let rate = units::per_second(case.lost.ns, facts.lasted_ns);
    Some(match case.health {
        Health::OwnThreads => {
            let cpus = facts.cpus.map_or_else(String::new, |cpus| format!(" on {cpus} CPUs"));
            format!("{who} waits {rate} for its own threads{cpus}")
        }
        Health::OwnRequests => {
            format!("{who} waits {rate} for its own requests, and the disk is quick")
        }
        Health::OwnWrites => format!("{who} waits {rate} for what it has written itself"),
        Health::Hurts | Health::Seems => return None,
    })
}

/// A number that speaks for something.
pub(super) fn number(name: EvidenceName, value: f64, unit: Unit, source: &str, text: String) -> Evidence {
    Evidence { name, value: Some(value), text_value: None, unit: Some(unit), source: source.to_owned(), text }
}
