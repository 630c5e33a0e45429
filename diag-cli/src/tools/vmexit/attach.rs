//! What `osdiag vmexit` attaches, and with what settings.

use crate::{
    ebpf::{
        object::{Kernel as Types, Objects, Settings, Value},
        probes::{ProbeSpec, essential, helpful},
    },
    kernel::symbols::Symbols,
    session::{FieldMissed, KernelSide},
};

use super::{guest::kernel::Kernel, words};

/// The kernel side.
pub(super) const KERNEL_SIDE: KernelSide = KernelSide {
    objects: Objects {
        btf: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vmexit")),
        raw: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vmexit-raw")),
    },
    probes: PROBES,
    fields_read: &[],
    fields_missed: FIELDS_MISSED,
};

const NO_IPIS: &str =
    "IPIs that are not sent by writing an MSR (an xAPIC's, and those of hypercalls) are not counted";

/// The order in which they are attached: what explains something before what counts it.
const PROBES: &[ProbeSpec] = &[
    essential("sched_process_fork"),
    essential("sched_process_exit"),
    helpful("csd_queue_cpu", "what other CPUs are interrupted to call is not known"),
    helpful("tlb_flush", "TLB shootdowns count as ipi-call").instead_of("csd_queue_cpu"),
    helpful("ipi_send_cpu", NO_IPIS),
    helpful("ipi_send_cpumask", NO_IPIS),
    helpful("hrtimer_start", "who armed a timer is known of sleeping tasks alone"),
    helpful("hrtimer_expire_entry", "what timer interrupts are for, and who armed the timers, is not known"),
    helpful("local_timer_entry", "timer interrupts are not counted"),
    helpful("cpu_idle", "halts of idle CPUs are not counted"),
    helpful("read_msr", "reads of MSRs are not counted"),
    helpful("rdpmc", "reads of performance counters are not counted"),
    essential("write_msr"),
];

const FIELDS_MISSED: &[FieldMissed] = &[
    FieldMissed {
        name: "interrupt-contexts",
        global: "PREEMPT_COUNT",
        why: "the kernel's types do not list per-CPU variables",
        effect: "what is done in an interrupt counts as done by the task that it interrupted, and an IPI that \
                 another one comes between counts twice",
    },
    FieldMissed {
        name: "timer-functions",
        global: "HRTIMER_FUNCTION",
        why: "the kernel's types have no hrtimer.function",
        effect: "what timer interrupts are for is not known",
    },
];

/// Globals that this kernel decides.
pub(super) fn settings(types: &Types, kernel: &Kernel) -> anyhow::Result<Settings> {
    let mut globals = vec![("POLLING_STATES", Value::U32(kernel.polling_states()))];
    let shootdown = types.types.enum_value("tlb_flush_reason", "TLB_REMOTE_SEND_IPI")?;
    if let Some(reason) = shootdown.and_then(|reason| u32::try_from(reason).ok()) {
        globals.push(("TLB_REMOTE_SEND_IPI", Value::U32(reason)));
    }
    // Without names every timer goes the long way, and the record says that names are missing.
    if let Ok(symbols) = Symbols::load() {
        let tick = words::TICKS.iter().find_map(|tick| symbols.address(tick));
        globals.push(("TIMER_TICK", Value::U64(tick.unwrap_or(0))));
        for (global, function) in [("TIMER_WAKEUP", words::SLEEPS), ("CALL_QUEUED", words::CALLS)] {
            globals.push((global, Value::U64(symbols.address(function).unwrap_or(0))));
        }
    }
    Ok(Settings { globals, entries: Vec::new() })
}
