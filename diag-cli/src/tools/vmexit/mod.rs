//! `osdiag vmexit`: what makes this guest exit to its hypervisor.

mod advice;
mod args;
mod attach;
mod calibrate;
mod collect;
mod exits;
mod features;
mod guest;
mod invisible;
mod model;
mod record;
mod render;
#[cfg(test)]
mod sample;
mod verdict;
mod words;

use std::{process::ExitCode, time::Duration};

use anyhow::Result;

pub(crate) use self::{args::Args, record::Vmexit as Body};
use self::{
    args::Sort,
    collect::{Collector, Harvest},
    guest::{Guest, kernel},
    model::Scene,
    record::{Deed, ExitCost},
};
use crate::{
    arch::{self, msr},
    cli::SessionArgs,
    ebpf::object::{Kernel, Object, Settings},
    exit::Failure,
    kernel::symbols::Functions,
    output::{
        host,
        page::Page,
        record::{Kind, Unavailable, settings::Threshold},
    },
    session::{self, KernelSide, Tool},
    target::{CgroupNames, Members, Target},
};

/// Traces, and reports.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if let Some(why) = arch::NO_VMEXIT {
        return Err(Failure::Unsupported(format!("osdiag vmexit is for x86: {why}")).into());
    }
    session::run::<Vmexit>(args)
}

/// The tool while it works.
struct Vmexit {
    sort: Sort,
    top: usize,
    rows: usize,
    guest: Guest,
    cost: Option<ExitCost>,
    cpus: u64,
    collector: Collector,
    functions: Functions,
    /// Whether timer interrupts came, and the deadline was written, so far.
    had_timer: bool,
    had_deadline: bool,
    /// Whether the last record had steal.
    tells_steal: bool,
    targets_all: bool,
}

/// What can turn out not to be available only while it works.
const FOUND_UNAVAILABLE: [&str; 4] = [TIMER_INTERRUPTS, TSC_DEADLINE, EXIT_COST, STEAL_TIME];
const TIMER_INTERRUPTS: &str = "timer-interrupts";
const TSC_DEADLINE: &str = "tsc-deadline";
const EXIT_COST: &str = "exit-cost";
const STEAL_TIME: &str = "steal-time";

/// What records lack where functions have no names.
const NO_NAMES: &str =
    "timers and IPIs are shown by the addresses of their functions, and TLB shootdowns as ipi-call";

/// A record with what its picture needs beside.
type Report = session::Report<Vmexit>;

/// What only the picture needs.
struct Picture {
    /// Idle times by bucket of [`diag_common::hist`], and how often.
    halted: Vec<(u32, u64)>,
    /// The hypervisor's name; none on a machine without one.
    hypervisor: Option<String>,
}

impl Picture {
    fn of(guest: &Guest, harvest: &Harvest) -> Picture {
        let halted = (0u32..).zip(&harvest.idle.bins).map(|(bucket, bin)| (bucket, bin.count)).collect();
        Picture { halted, hypervisor: guest.cpu.is_virtual().then(|| guest.cpu.name.clone()) }
    }
}

impl Tool for Vmexit {
    type Args = Args;
    type Harvest = Harvest;
    type Body = Body;
    type Picture = Picture;

    const NAME: &'static str = "vmexit";
    const SUBJECT: &'static str = "what may make a virtual CPU exit";
    const KERNEL_SIDE: KernelSide = attach::KERNEL_SIDE;

    fn session_args(args: &Args) -> &SessionArgs {
        &args.session
    }

    fn thresholds(_args: &Args) -> Vec<Threshold> {
        Vec::new()
    }

    fn settings(_args: &Args, types: &Kernel) -> Result<Settings> {
        attach::settings(types, &kernel::Kernel::read())
    }

    fn open(args: &Args, target: &Target, object: &mut Object) -> Result<Vmexit> {
        let guest = Guest::read();
        let exits = guest.cpu.can_exit();
        Ok(Vmexit {
            sort: args.sort,
            top: args.top_in_record(),
            rows: args.top_on_screen(),
            cost: if exits { calibrate::exit_cost() } else { None },
            cpus: host::online_cpus().map_or(1, u64::from),
            collector: Collector::new(&mut object.ebpf, guest.kernel.idle_states.clone())?,
            functions: Functions::default(),
            had_timer: false,
            had_deadline: false,
            tells_steal: true,
            targets_all: matches!(target, Target::System),
            guest,
        })
    }

    /// Detaching patches code, which sends IPIs, while some probes are gone and others are not.
    fn ending(&mut self, _members: &Members<'_>, _cgroups: Option<&mut CgroupNames>) {
        self.collector.end();
    }

    fn turn(&mut self) -> Result<u64> {
        self.collector.turn()
    }

    fn harvest(&mut self) -> Result<Harvest> {
        self.collector.harvest()
    }

    fn add(&self, total: &mut Harvest, interval: &Harvest) {
        total.add(interval);
    }

    fn tell(
        &mut self,
        _kind: Kind,
        lasted: Duration,
        harvest: &Harvest,
        cgroups: Option<&mut CgroupNames>,
    ) -> (Body, Picture) {
        let scene = Scene {
            guest: &self.guest,
            cost: self.cost,
            cpus: self.cpus,
            duration_ns: lasted.as_nanos() as u64,
            targets_all: self.targets_all,
            sort: self.sort,
            top: self.top,
        };
        let body = model::body(&scene, harvest, &mut self.functions, cgroups);
        let has = |deed, msr| {
            body.activities.iter().any(|activity| activity.activity == deed && activity.msr == msr)
        };
        self.had_timer |= has(Deed::Timer, None);
        self.had_deadline |= has(Deed::MsrWrite, Some(msr::TSC_DEADLINE));
        self.tells_steal = body.steal_ns.is_some();
        (body, Picture::of(&self.guest, harvest))
    }

    fn found_unavailable(&self) -> Vec<Unavailable> {
        let unseen = |name: &str, why: String, effect: &str| Unavailable {
            name: name.to_owned(),
            why,
            effect: effect.to_owned(),
        };
        let mut found: Vec<Unavailable> =
            self.functions.unavailable(NO_NAMES).into_iter().chain(self.collector.unsettled()).collect();
        let timer = self.guest.kernel.timer.as_deref();
        if let Some(timer) = timer.filter(|_| !self.guest.kernel.has_apic_timer()) {
            let why = format!("the timer is {timer}, whose interrupts no tracepoint tells");
            found.push(unseen(TIMER_INTERRUPTS, why, "timer interrupts are not counted"));
        }
        if timer == Some("lapic-deadline") && self.targets_all && self.had_timer && !self.had_deadline {
            // lapic_next_deadline uses native_wrmsrq (arch/x86/kernel/apic/apic.c, 7.1).
            let why = "this kernel writes it past all tracepoints (7.1 and up)".to_owned();
            found.push(unseen(
                TSC_DEADLINE,
                why,
                "writes of IA32_TSC_DEADLINE are not counted, nor estimated",
            ));
        }
        if self.guest.cpu.can_exit() && self.cost.is_none() {
            let why = "CPUID, by which it is measured, does not exit here".to_owned();
            found.push(unseen(EXIT_COST, why, "there are no estimates"));
        }
        if self.guest.cpu.is_virtual() && !self.tells_steal {
            let why = "the hypervisor keeps no steal clock for this guest, or the kernel does not read it";
            found.push(unseen(STEAL_TIME, why.to_owned(), "steal_ns is null"));
        }
        found
    }

    fn draw_interval(&self, page: &mut Page, report: &Report) {
        render::interval(page, report);
    }

    fn draw_summary(&self, page: &mut Page, report: &Report) {
        render::summary(page, report, self.rows);
    }

    fn draw_verdict(&self, page: &mut Page, report: &Report) {
        render::verdict(page, report);
    }
}
