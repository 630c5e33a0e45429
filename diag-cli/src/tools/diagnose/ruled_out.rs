//! What was looked at and is no finding, with the numbers that say so.

use diag_common::cause::{Cause, Layer};

use super::{
    facts::Facts,
    findings::{Case, Level},
    healthy::Health,
    record::{Evidence, EvidenceName, RuledOut, Signal, SignalName},
    words::{DELAYS, excuse, number},
};
use crate::output::{
    record::{
        cause::{CauseWord, LayerWord},
        settings::Unit,
    },
    units,
};

/// Which causes are of a kind.
type Of = fn(Cause) -> bool;

/// What is ruled out, by the cause that stands for it: everything of the layer, or it alone.
const ASKED: &[(Cause, Of)] = &[
    (Cause::Runqueue, |cause| cause == Cause::Runqueue),
    (Cause::Throttled, |cause| cause == Cause::Throttled),
    (Cause::Steal, |cause| cause.layer() == Layer::Hypervisor),
    (Cause::Reclaim, |cause| cause.layer() == Layer::Memory),
    (Cause::Device, |cause| cause.layer() == Layer::Block),
    (Cause::FsWait, |cause| cause.layer() == Layer::Filesystem),
    (Cause::KernelLock, |cause| cause.layer() == Layer::Lock),
];

/// What no finding and no note is about.
pub(super) fn ruled_out(facts: &Facts<'_>, cases: &[Case<'_>], signals: &[Signal]) -> Vec<RuledOut> {
    let open = |is: &Of| {
        cases.iter().any(|case| case.level != Level::Nothing && (is(case.lost.cause) || is(case.lost.root())))
    };
    let asked = ASKED.iter().filter(|(_, is)| !open(is));
    asked
        .map(|(cause, is)| RuledOut {
            layer: LayerWord(cause.layer()),
            cause: CauseWord(*cause),
            evidence: std::iter::once(most(facts, cases, is)).chain(seen(signals, *cause)).collect(),
        })
        .collect()
}

/// The group that lost most to it, or why it is at work.
fn most(facts: &Facts<'_>, cases: &[Case<'_>], is: &Of) -> Evidence {
    let of_it = || cases.iter().filter(|case| is(case.lost.cause));
    let healthy = of_it().filter(|case| !case.health.hurts()).max_by_key(|case| case.lost.ns);
    let worst = of_it().filter(|case| case.health.hurts()).max_by_key(|case| case.ns);
    let healthy = healthy.filter(|healthy| worst.is_none_or(|worst| healthy.lost.ns > worst.ns));
    if let Some((case, text)) = healthy.and_then(|case| Some((case, excuse(facts, case)?))) {
        let value = facts.per_second(case.lost.ns);
        let name = match case.health {
            Health::OwnThreads | Health::OwnRequests => EvidenceName::OwnShare,
            _ => EvidenceName::LostTime,
        };
        return number(name, value, Unit::NsPerSecond, DELAYS, text);
    }
    let ns = worst.map_or(0, |case| case.ns);
    let text = match worst.filter(|case| case.ns > 0) {
        None => "nothing was lost".to_owned(),
        Some(case) => format!(
            "{} at most, by {}",
            units::per_second(case.ns, facts.lasted_ns),
            case.account.group.label(),
        ),
    };
    number(EvidenceName::LostTime, facts.per_second(ns), Unit::NsPerSecond, DELAYS, text)
}

/// What the kernel's own number says of it.
fn seen(signals: &[Signal], cause: Cause) -> Option<Evidence> {
    let (wanted, name) = match cause {
        Cause::Runqueue => (SignalName::CpuPressure, EvidenceName::Pressure),
        Cause::Reclaim => (SignalName::MemoryPressure, EvidenceName::Pressure),
        Cause::Device => (SignalName::IoPressure, EvidenceName::Pressure),
        Cause::Steal => (SignalName::Steal, EvidenceName::Steal),
        _ => return None,
    };
    let signal = signals.iter().find(|signal| signal.signal == wanted && signal.group.is_none())?;
    let text = format!("{} {}", signal.source, units::percent(signal.value));
    Some(number(name, signal.value, signal.unit, signal.source, text))
}
