//! What could not be seen, with what sees it.

use diag_common::cause::{Cause, Layer};

use super::{
    findings::{Case, Level},
    record::{NotSeen, NotSeenName},
    triage::First,
};
use crate::{
    output::record::{
        Unavailable,
        parties::{Group, Resource},
    },
    session::TRACING,
    tools::delays::{advice::target, culprits::resource_of},
};

/// Probes that are missing, at most: the records have all of them.
const PROBES: usize = 2;

/// What this session has not seen, of a target that one group stands for, if any.
pub(super) fn not_seen(
    cases: &[Case<'_>],
    first: Option<&First>,
    unavailable: &[Unavailable],
    victim: Option<&Group>,
) -> Vec<NotSeen> {
    let of = victim.and_then(target).unwrap_or_default();
    let weighs =
        |is: fn(Cause) -> bool| cases.iter().any(|case| case.level != Level::Nothing && is(case.lost.root()));
    let mut all = Vec::new();
    let mut add = |name, why: &str, switch_on: Option<String>| {
        all.push(NotSeen { name, why: why.to_owned(), switch_on });
    };
    let for_a_lock = cases
        .iter()
        .filter(|case| case.level != Level::Nothing && resource_of(case.lost.root()) == Some(Resource::Lock));
    let has_owner = |case: &Case<'_>| {
        let mut culprits = case.account.culprits.iter();
        culprits.any(|culprit| culprit.resource == Resource::Lock && culprit.group.is_some())
    };
    if for_a_lock.into_iter().any(|case| !has_owner(case)) {
        add(
            NotSeenName::LockOwners,
            "who held the locks, so whose fault those waits are",
            Some(format!("osdiag lock{of} -d 30s")),
        );
    }
    if weighs(|cause| matches!(cause.layer(), Layer::Filesystem | Layer::Other)) {
        add(NotSeenName::StuckChains, "behind whom tasks are stuck", Some(format!("osdiag hung{of} -d 10s")));
    }
    add(
        NotSeenName::DeviceTimes,
        "single requests at their devices (of slow disks only means are known)",
        Some(format!("osdiag iolat{of} -d 30s")),
    );
    add(NotSeenName::BlockLimits, "io.max, iocost and the caps of disks: they count as the device", None);
    add(NotSeenName::Exits, "what exits of virtual CPUs cost", Some("osdiag vmexit -d 10s".to_owned()));
    all.extend(of_files(first));
    all.extend(unavailable.iter().take(PROBES).map(|missing| missing_probe(NotSeenName::Probe, missing)));
    all
}

/// The same where nothing could be traced.
pub(super) fn without_tracing(first: Option<&First>, unavailable: &[Unavailable]) -> Vec<NotSeen> {
    let missing = unavailable.iter().map(|missing| {
        let is_all = missing.name == TRACING;
        missing_probe(if is_all { NotSeenName::Tracing } else { NotSeenName::Probe }, missing)
    });
    missing.chain(of_files(first)).collect()
}

fn missing_probe(name: NotSeenName, missing: &Unavailable) -> NotSeen {
    let why = format!("{} ({}): {}", missing.name, missing.why, missing.effect);
    NotSeen { name, why, switch_on: None }
}

/// What the files that are read in the first second did not show.
fn of_files(first: Option<&First>) -> Vec<NotSeen> {
    let mut all = Vec::new();
    let mut add = |name, why: &str, switch_on: Option<String>| {
        all.push(NotSeen { name, why: why.to_owned(), switch_on });
    };
    match first {
        None => add(NotSeenName::Triage, "the files that are read in the first second", None),
        Some(first) => {
            if first.reading.machine.pressure.is_none() {
                let switch_on = Some("boot with psi=1".to_owned());
                add(NotSeenName::Pressure, "the kernel's own pressure (PSI)", switch_on);
            }
            if !first.left_out.is_empty() {
                let why = format!("in the first second: {}", first.left_out.join(", "));
                add(NotSeenName::Triage, &why, None);
            }
        }
    }
    all
}
