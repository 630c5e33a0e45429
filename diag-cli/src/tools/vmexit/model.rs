//! From counts to a record.

use std::collections::{BTreeMap, HashMap};

use diag_common::{
    vmexit::{BY_ICR, CellKey, IN_INTERRUPT, IN_TASK, Kind, TLB_FLUSH, WAKE_UP, X2APIC_ICR},
    who as identity,
};

use super::{
    advice::{Facts, advice},
    collect::Harvest,
    exits::{Act, exits},
    features::features,
    guest::Guest,
    msr,
    not_visible::NOT_VISIBLE,
    record::{Cause, CauseKind, Context, Doer, ExitCost, Exits, Idle, Vmexit},
    verdict::verdict,
    words,
};
use crate::{
    kernel::symbols::Functions,
    output::{histogram::Histogram, text, units},
    target::CgroupNames,
};

/// Doers that a cause names at most.
const MOST_DOERS: usize = 50;

/// What a session has found out about the guest.
pub(super) struct Scene<'a> {
    pub(super) guest: &'a Guest,
    pub(super) cost: Option<ExitCost>,
    pub(super) cpus: u64,
    /// The time that is told of, ns.
    pub(super) duration_ns: u64,
}

impl Scene<'_> {
    /// All CPUs' time, ns.
    fn cpu_time_ns(&self) -> u64 {
        self.duration_ns * self.cpus
    }
}

/// All that a record says.
pub(super) fn body(
    scene: &Scene<'_>,
    harvest: &Harvest,
    functions: &mut Functions,
    cgroups: Option<&mut CgroupNames>,
) -> Vmexit {
    let causes = causes(scene, harvest, functions, cgroups);
    let total = |counts: fn(Exits) -> bool| {
        let of = causes.iter().filter(|cause| counts(cause.exits)).filter_map(|cause| cause.estimated_ns);
        scene.cost.map(|_| units::share(of.sum(), scene.cpu_time_ns()))
    };
    let mut body = Vmexit {
        exit_cost_ns: scene.cost,
        vcpu_share: total(|_| true),
        vcpu_share_certain: total(|exits| exits == Exits::Yes),
        features: features(scene.guest, harvest, &causes),
        idle: idle(scene.guest, harvest),
        interrupts: harvest.interrupts,
        steal_ns: harvest.steal_ns,
        not_visible: NOT_VISIBLE.to_vec(),
        causes,
        ..Vmexit::default()
    };
    body.verdict = verdict(&body);
    let facts = Facts { guest: scene.guest, body: &body, cpus: scene.cpus, duration_ns: scene.duration_ns };
    body.advice = advice(&facts);
    body
}

/// What a cause is, apart from who did it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct What {
    kind: CauseKind,
    name: String,
    msr: Option<u32>,
}

/// Who did something, as far as the kernel side tells.
type Who = (Context, String, u32, u64);

/// The causes, largest estimate first, then most frequent.
fn causes(
    scene: &Scene<'_>,
    harvest: &Harvest,
    functions: &mut Functions,
    mut cgroups: Option<&mut CgroupNames>,
) -> Vec<Cause> {
    let mut found: BTreeMap<What, (Act, HashMap<Who, u64>)> = BTreeMap::new();
    for (key, &count) in &harvest.counts {
        let Some((what, act)) = what(key, functions) else { continue };
        let (_, by) = found.entry(what).or_insert_with(|| (act, HashMap::new()));
        *by.entry(who(key)).or_default() += count;
    }
    for (name, count) in halts(scene.guest, harvest) {
        let what = What { kind: CauseKind::Hlt, name, msr: None };
        let idle = (Context::Task, SWAPPER.to_owned(), 0, 0);
        *found.entry(what).or_insert_with(|| (Act::Halt, HashMap::new())).1.entry(idle).or_default() += count;
    }
    let mut causes: Vec<Cause> =
        found.into_iter().map(|(what, (act, by))| cause(scene, what, act, by, &mut cgroups)).collect();
    causes.sort_by(|a, b| b.estimated_ns.cmp(&a.estimated_ns).then(b.count.cmp(&a.count)));
    causes
}

fn cause(
    scene: &Scene<'_>,
    what: What,
    act: Act,
    by: HashMap<Who, u64>,
    cgroups: &mut Option<&mut CgroupNames>,
) -> Cause {
    let count: u64 = by.values().sum();
    let answer = exits(scene.guest, act);
    let estimated_ns = scene.cost.map(|cost| if answer.exits == Exits::No { 0 } else { count * cost.p50 });
    let mut by: Vec<(Who, u64)> = by.into_iter().collect();
    by.sort_by(|(a, one), (b, other)| other.cmp(one).then_with(|| (&a.1, a.2, a.3).cmp(&(&b.1, b.2, b.3))));
    let others = by.iter().skip(MOST_DOERS).map(|(_, count)| count).sum();
    let doer = |((context, comm, pid, cgroup), count): (Who, u64)| Doer {
        comm,
        pid,
        cgroup: cgroups
            .as_mut()
            .filter(|_| cgroup != 0)
            .and_then(|names| names.path(cgroup).map(str::to_owned)),
        context,
        count,
    };
    Cause {
        kind: what.kind,
        name: what.name,
        msr: what.msr,
        count,
        per_second: rate(count, scene.duration_ns),
        by: by.into_iter().take(MOST_DOERS).map(doer).collect(),
        others,
        exits: answer.exits,
        why: answer.reason.to_owned(),
        in_short: answer.why,
        estimated_ns,
        vcpu_share: estimated_ns.map(|ns| units::share(ns, scene.cpu_time_ns())),
    }
}

/// What a count is of, and what that does to the CPU.
fn what(key: &CellKey, functions: &mut Functions) -> Option<(What, Act)> {
    let register = key.detail as u32;
    let by_register = key.via == BY_ICR;
    let (ipi_act, ipi_msr) =
        if by_register { (Act::IpiByRegister, Some(X2APIC_ICR)) } else { (Act::IpiOtherwise, None) };
    let ipi_name = if by_register { msr::name(X2APIC_ICR) } else { "IPI".to_owned() };
    let of = |kind, name, msr| What { kind, name, msr };
    Some(match Kind::from_number(key.kind)? {
        Kind::MsrWrite => {
            let name = msr::name(register);
            (of(CauseKind::MsrWrite, name, Some(register)), Act::Write(register))
        }
        Kind::MsrRead => {
            let name = msr::name(register);
            (of(CauseKind::MsrRead, name, Some(register)), Act::Read(register))
        }
        Kind::IpiReschedule => (of(CauseKind::IpiReschedule, ipi_name, ipi_msr), ipi_act),
        Kind::IpiCall if key.detail == TLB_FLUSH => (of(CauseKind::TlbShootdown, ipi_name, ipi_msr), ipi_act),
        Kind::IpiCall => {
            let function = function(functions, key.detail);
            let kind = if function.as_deref().is_some_and(words::is_tlb_flush) {
                CauseKind::TlbShootdown
            } else {
                CauseKind::IpiCall
            };
            (of(kind, function.unwrap_or(ipi_name), ipi_msr), ipi_act)
        }
        Kind::Timer => {
            let name = function(functions, key.detail).unwrap_or_else(|| words::NO_FUNCTION.to_owned());
            (of(CauseKind::Timer, name, None), Act::Timer)
        }
        Kind::PmcRead => (of(CauseKind::PmcRead, format!("RDPMC {register:#x}"), None), Act::ReadCounter),
    })
}

/// The function that the kernel side tells of; none for none.
fn function(functions: &mut Functions, address: u64) -> Option<String> {
    match address {
        0 => None,
        WAKE_UP => Some(words::WAKE_UPS.to_owned()),
        address => Some(functions.at(address)),
    }
}

/// What the idle tasks of all CPUs are called together.
pub(super) const SWAPPER: &str = "swapper";

fn who(key: &CellKey) -> Who {
    let context = match key.context {
        IN_TASK => Context::Task,
        IN_INTERRUPT => Context::Interrupt,
        _ => Context::Unknown,
    };
    if context == Context::Task && key.tgid == 0 {
        return (context, SWAPPER.to_owned(), 0, 0);
    }
    (context, text::escape(&identity::name(key.comm)), key.tgid, key.cgroup)
}

/// How often CPUs entered each state in which they halt.
fn halts(guest: &Guest, harvest: &Harvest) -> Vec<(String, u64)> {
    let polling = guest.kernel.polling_states();
    let states = harvest.idle.entered.iter().enumerate();
    let halting = states.filter(|&(state, &count)| count > 0 && polling >> state & 1 == 0);
    let name = |state: usize| {
        let known = guest.kernel.idle_states.iter().find(|known| known.number as usize == state);
        known.map_or_else(|| "HLT".to_owned(), |known| known.name.clone())
    };
    halting.map(|(state, &count)| (name(state), count)).collect()
}

/// What idle CPUs did.
fn idle(guest: &Guest, harvest: &Harvest) -> Idle {
    let bins = (0u32..).zip(&harvest.idle.bins);
    let sum_ns = harvest.idle.bins.iter().map(|bin| bin.sum_ns).sum();
    let max_ns = harvest.idle.max_ns;
    let min_ns = if max_ns == 0 { 0 } else { !harvest.idle.min_inverted };
    Idle {
        driver: guest.kernel.idle_driver.clone(),
        governor: guest.kernel.idle_governor.clone(),
        halt_poll_ns: guest.kernel.halt_poll_ns.filter(|_| guest.kernel.idle_governor == "haltpoll"),
        polls: harvest.polls,
        polling_ns: harvest.polling_ns,
        halted: Histogram::from_bins(bins.map(|(bucket, bin)| (bucket, bin.count)), sum_ns, min_ns, max_ns),
    }
}

/// Events a second, to three decimals.
fn rate(count: u64, duration_ns: u64) -> f64 {
    (count as f64 * 1e12 / duration_ns.max(1) as f64).round() / 1e3
}

#[cfg(test)]
mod tests {
    use diag_common::vmexit::{NOT_BY_MSR, UNKNOWN};

    use super::*;
    use crate::tools::vmexit::sample::{COST, CPUS, DURATION_NS, FLUSH, body, busy, guest, interrupt, key};

    fn of(harvest: &Harvest) -> Vec<Cause> {
        body(&guest(), Some(COST), harvest).causes
    }

    fn one(key: CellKey) -> Cause {
        let harvest = Harvest { counts: [(key, 10)].into(), ..Harvest::default() };
        of(&harvest).remove(0)
    }

    #[test]
    fn each_count_is_in_one_cause_and_each_cause_adds_up() {
        let harvest = busy();
        let causes = of(&harvest);
        let halts: u64 = harvest.idle.entered.iter().sum();
        let counted: u64 = causes.iter().map(|cause| cause.count).sum();
        assert_eq!(counted, harvest.counts.values().sum::<u64>() + halts);
        for cause in &causes {
            let by: u64 = cause.by.iter().map(|doer| doer.count).sum();
            assert_eq!(by + cause.others, cause.count, "{cause:?}");
            assert_eq!(cause.estimated_ns, Some(cause.count * COST.p50));
        }
        assert!(causes.is_sorted_by_key(|cause| std::cmp::Reverse(cause.estimated_ns)));
    }

    #[test]
    fn rates_and_shares() {
        let causes = of(&busy());
        let deadline = causes.iter().find(|cause| cause.name == "IA32_TSC_DEADLINE").unwrap();
        assert_eq!(
            (deadline.kind, deadline.msr, deadline.count),
            (CauseKind::MsrWrite, Some(0x6e0), 750_000)
        );
        assert!((deadline.per_second - 75_000.0).abs() < 0.001);
        let expected = 750_000.0 * COST.p50 as f64 / (CPUS * DURATION_NS) as f64;
        assert!((deadline.vcpu_share.unwrap() - expected).abs() < 1e-6);
        let idle = &deadline.by[0];
        assert_eq!((idle.comm.as_str(), idle.pid, idle.count), (SWAPPER, 0, 700_000), "all CPUs' idle tasks");
        let interrupt = &deadline.by[1];
        assert_eq!((interrupt.comm.as_str(), interrupt.context), ("", Context::Interrupt));
    }

    #[test]
    fn an_ipi_is_told_by_its_function_and_its_way() {
        let flush = one(key(Kind::IpiCall, FLUSH, b"java", 1));
        assert_eq!(
            (flush.kind, flush.name.as_str(), flush.msr),
            (CauseKind::TlbShootdown, "flush_tlb_func", Some(0x830))
        );
        let old = one(key(Kind::IpiCall, TLB_FLUSH, b"java", 1));
        assert_eq!((old.kind, old.name.as_str()), (CauseKind::TlbShootdown, "x2APIC_ICR"));
        let unknown = one(key(Kind::IpiCall, 0, b"java", 1));
        assert_eq!((unknown.kind, unknown.name.as_str()), (CauseKind::IpiCall, "x2APIC_ICR"));
        let called = one(CellKey { via: NOT_BY_MSR, ..key(Kind::IpiReschedule, 0, b"java", 1) });
        assert_eq!((called.name.as_str(), called.msr, called.exits), ("IPI", None, Exits::Yes));
    }

    #[test]
    fn what_nobody_armed_has_no_name() {
        let none = one(interrupt(Kind::Timer, 0));
        assert_eq!((none.kind, none.name.as_str()), (CauseKind::Timer, "none"));
        let earlier = one(CellKey { context: UNKNOWN, ..key(Kind::Timer, FLUSH, b"", 0) });
        assert_eq!(earlier.by[0].context, Context::Unknown);
    }

    #[test]
    fn names_of_threads_are_data() {
        let cause = one(key(Kind::MsrRead, 0x10, b"\xff\x1b[0m", 5));
        assert_eq!(cause.by[0].comm, "\\xff\\x1b[0m");
    }

    #[test]
    fn many_doers_are_summed_up() {
        let counts = (1..=60).map(|pid| (key(Kind::MsrRead, 0x10, b"agent", pid), u64::from(pid))).collect();
        let cause = of(&Harvest { counts, ..Harvest::default() }).remove(0);
        assert_eq!((cause.by.len(), cause.others, cause.count), (50, 55, 1830));
        assert_eq!(cause.by[0].pid, 60);
    }

    #[test]
    fn polling_is_no_halt() {
        let mut harvest = Harvest::default();
        harvest.idle.entered = [7, 5, 0, 0, 0, 0, 0, 0, 0, 0];
        let causes = of(&harvest);
        assert_eq!(causes.len(), 1);
        assert_eq!(
            (causes[0].kind, causes[0].name.as_str(), causes[0].count),
            (CauseKind::Hlt, "haltpoll idle", 5)
        );
    }
}
