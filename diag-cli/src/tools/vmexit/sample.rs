//! Built reports, for the tests of this tool.

use diag_common::{
    hist,
    vmexit::{BY_ICR, CellKey, IN_INTERRUPT, IN_TASK, IdleBin, Kind, NOT_BY_MSR, WAKE_UP},
};

use super::{
    Picture, Report,
    args::Sort,
    calibrate::Method,
    collect::{Halts, Harvest, SHORT_HALT_NS},
    guest::{
        Guest,
        kernel::{IdleState, Kernel},
        recorded,
    },
    model::{self, Scene},
    record::{ExitCost, Vmexit},
};
use crate::{
    kernel::symbols::Functions,
    output::{record::Record, sample::envelope},
};

/// Ten seconds.
pub(super) const DURATION_NS: u64 = 10_000_000_000;
pub(super) const CPUS: u64 = 4;

/// Addresses of kernel functions.
pub(super) const FLUSH: u64 = 0x100;
pub(super) const SLEEP: u64 = 0x200;
pub(super) const TICK: u64 = 0x300;
pub(super) const PACE: u64 = 0x400;
pub(super) const TIMERFD: u64 = 0x500;
pub(super) const RDMSR: u64 = 0x600;
pub(super) const PERF: u64 = 0x700;

pub(super) fn functions() -> Functions {
    Functions::known(&[
        (FLUSH, "flush_tlb_func"),
        (SLEEP, "hrtimer_wakeup"),
        (TICK, "tick_nohz_handler"),
        (PACE, "tcp_pace_kick"),
        (TIMERFD, "timerfd_tmrproc"),
        (RDMSR, "__rdmsr_safe_on_cpu"),
        (PERF, "remote_function"),
    ])
}

/// What a task with this name and process did; process 0 is the idle task.
pub(super) fn key(kind: Kind, detail: u64, comm: &[u8], tgid: u32) -> CellKey {
    let mut name = [0; 16];
    name[..comm.len()].copy_from_slice(comm);
    let half = |at: usize| u64::from_ne_bytes(std::array::from_fn(|byte| name[at + byte]));
    let is_ipi = matches!(kind, Kind::IpiCall | Kind::IpiReschedule);
    CellKey {
        detail,
        comm: [half(0), half(8)],
        cgroup: 0,
        tgid,
        kind: kind as u8,
        parity: 0,
        context: IN_TASK,
        via: if is_ipi { BY_ICR } else { NOT_BY_MSR },
    }
}

/// The same in an interrupt.
pub(super) fn interrupt(kind: Kind, detail: u64) -> CellKey {
    CellKey { context: IN_INTERRUPT, ..key(kind, detail, b"", 0) }
}

/// A guest of KVM on AMD whose CPUs idle with haltpoll, which does not poll.
pub(super) fn guest() -> Guest {
    let state = |number, name: &str| IdleState { number, name: name.into() };
    let kernel = Kernel {
        clocksource: Some("tsc".into()),
        clocksources: vec!["tsc".into(), "kvm-clock".into()],
        timer: Some("lapic-deadline".into()),
        idle_driver: Some("haltpoll".into()),
        idle_governor: Some("haltpoll".into()),
        idle_states: vec![state(0, "POLL"), state(1, "haltpoll idle")],
        halt_poll_ns: Some(0),
        hz: Some(250),
        ..Kernel::default()
    };
    Guest { kernel, ..recorded::guest(&recorded::KVM_AMD) }
}

pub(super) const COST: ExitCost = ExitCost {
    method: Method::Cpuid,
    min_ns: 3_910,
    p50_ns: 4_050,
    p99_ns: 5_800,
    sample_count: 2_048,
    discarded_count: 0,
};

/// Idle CPUs that halted so often together, each as often as the others, and for so long each time.
pub(super) fn halted(harvest: &mut Harvest, state: usize, times: u64, ns: u64) {
    for cpu in 0..CPUS as usize {
        halted_on(harvest, cpu, state, times / CPUS, ns);
    }
}

/// One CPU that halted so often, and for so long each time.
pub(super) fn halted_on(harvest: &mut Harvest, cpu: usize, state: usize, times: u64, ns: u64) {
    harvest.halts.resize(CPUS as usize, Halts::default());
    harvest.halts[cpu].count += times;
    harvest.halts[cpu].short_count += if ns < SHORT_HALT_NS { times } else { 0 };
    let idle = &mut harvest.idle;
    idle.entered[state] += times;
    idle.min_inverted = idle.min_inverted.max(!ns);
    idle.max_ns = idle.max_ns.max(ns);
    let bin = &mut idle.bins[hist::bucket(ns) as usize];
    *bin = IdleBin { count: bin.count + times, sum_ns: bin.sum_ns + times * ns };
}

/// What a record says of a harvest.
pub(super) fn body(guest: &Guest, cost: Option<ExitCost>, harvest: &Harvest) -> Vmexit {
    model::body(&scene(guest, cost), harvest, &mut functions(), None)
}

/// A session of the whole system.
pub(super) fn scene(guest: &Guest, cost: Option<ExitCost>) -> Scene<'_> {
    Scene { guest, cost, cpus: CPUS, duration_ns: DURATION_NS, targets_all: true, sort: Sort::Time, top: 64 }
}

pub(super) fn report(guest: &Guest, cost: Option<ExitCost>, harvest: &Harvest) -> Report {
    let body = body(guest, cost, harvest);
    let picture = Picture::of(guest, harvest);
    Report { record: Record::new(envelope(), body), picture }
}

/// Two processes that wake each other, one that polls, and one that unmaps.
pub(super) fn busy() -> Harvest {
    let mut harvest = Harvest::default();
    let counts = [
        (key(Kind::MsrWrite, 0x6e0, b"swapper/0", 0), 420_000),
        (key(Kind::MsrWrite, 0x6e0, b"swapper/1", 0), 280_000),
        (interrupt(Kind::MsrWrite, 0x6e0), 50_000),
        (key(Kind::IpiCall, WAKE_UP, b"postgres", 1234), 300_000),
        (key(Kind::IpiCall, WAKE_UP, b"client", 99), 80_000),
        (key(Kind::IpiCall, FLUSH, b"java", 4321), 24_000),
        (key(Kind::IpiReschedule, 0, b"kworker/1:0", 8009), 3_700),
        (key(Kind::Timer, SLEEP, b"poller", 777), 9_900),
        (key(Kind::Timer, TICK, b"java", 4321), 8_000),
        (interrupt(Kind::Timer, 0), 3),
        (key(Kind::MsrRead, 0x3b, b"swapper/0", 0), 10),
    ];
    harvest.counts.extend(counts);
    halted(&mut harvest, 1, 350_000, 24_000);
    halted(&mut harvest, 1, 20_000, 80_000);
    halted(&mut harvest, 1, 88, 3_900_000);
    (harvest.steal_ns, harvest.steal_goes_on) = (Some(120_000_000), true);
    harvest
}
