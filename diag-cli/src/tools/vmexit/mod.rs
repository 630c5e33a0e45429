//! `osdiag vmexit`: what makes this guest exit to its hypervisor.

mod advice;
mod args;
mod attach;
mod calibrate;
mod collect;
mod exits;
mod features;
mod guest;
mod model;
mod msr;
mod not_visible;
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
    collect::{Collector, Harvest},
    guest::{Guest, kernel},
    model::Scene,
    record::{CauseKind, ExitCost},
};
use crate::{
    cli::SessionArgs,
    ebpf::object::{Kernel, Object, Settings},
    kernel::symbols::Functions,
    output::{
        page::Page,
        record::{Kind, Unavailable},
    },
    session::{self, KernelSide, Tool},
    target::{CgroupNames, Target},
};

/// Traces, and reports.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    session::run::<Vmexit>(args)
}

/// The tool while it works.
struct Vmexit {
    guest: Guest,
    cost: Option<ExitCost>,
    cpus: u64,
    collector: Collector,
    functions: Functions,
    /// Whether timer interrupts came, and the deadline was written, so far.
    had_timer: bool,
    had_deadline: bool,
    targets_all: bool,
}

/// What records lack where functions have no names.
const NO_NAMES: &str =
    "timers and IPIs are shown by the addresses of their functions, and TLB shootdowns as ipi-call";

/// A record with what its picture needs beside.
type Report = session::Report<Vmexit>;

/// What only the picture needs.
struct Picture {
    /// Idle times by bucket of [`diag_common::hist`], and how often.
    halted: Vec<(u32, u64)>,
    /// Why there is no verdict, where there is none.
    nothing: String,
}

impl Picture {
    fn of(guest: &Guest, harvest: &Harvest, body: &Body) -> Picture {
        let halted = (0u32..).zip(&harvest.idle.bins).map(|(bucket, bin)| (bucket, bin.count)).collect();
        Picture { halted, nothing: verdict::nothing_exits(guest, body) }
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

    fn settings(_args: &Args, types: &Kernel) -> Result<Settings> {
        attach::settings(types, &kernel::Kernel::read())
    }

    fn open(_args: &Args, target: &Target, object: &mut Object) -> Result<Vmexit> {
        let guest = Guest::read();
        let exits = guest.cpu.can_exit();
        Ok(Vmexit {
            cost: if exits { calibrate::exit_cost() } else { None },
            cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u64),
            collector: Collector::new(&mut object.ebpf, guest.kernel.idle_states.clone())?,
            functions: Functions::default(),
            had_timer: false,
            had_deadline: false,
            targets_all: matches!(target, Target::System),
            guest,
        })
    }

    fn begin(&mut self) -> Result<()> {
        self.collector.harvest().map(drop)
    }

    /// Detaching patches code, which sends IPIs, while some probes are gone and others are not.
    fn ending(&mut self) {
        self.collector.end();
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
        };
        let body = model::body(&scene, harvest, &mut self.functions, cgroups);
        self.had_timer |= body.causes.iter().any(|cause| cause.kind == CauseKind::Timer);
        self.had_deadline |= body.causes.iter().any(|cause| cause.msr == Some(msr::TSC_DEADLINE));
        let picture = Picture::of(&self.guest, harvest, &body);
        (body, picture)
    }

    fn found_unavailable(&self) -> Vec<Unavailable> {
        let unseen = |name: &str, why: String, effect: &str| Unavailable {
            name: name.to_owned(),
            why,
            effect: effect.to_owned(),
        };
        let mut found: Vec<Unavailable> =
            self.functions.unavailable(NO_NAMES).into_iter().chain(self.collector.unsettled()).collect();
        let timer = &self.guest.kernel.timer;
        if !timer.is_empty() && !self.guest.kernel.has_apic_timer() {
            let why = format!("the timer is {timer}, whose interrupts no tracepoint tells");
            found.push(unseen("timer interrupts", why, "timer interrupts are not counted"));
        }
        if timer == "lapic-deadline" && self.targets_all && self.had_timer && !self.had_deadline {
            // lapic_next_deadline uses native_wrmsrq (arch/x86/kernel/apic/apic.c, 7.1).
            let why = "this kernel writes it past all tracepoints (7.1 and up)".to_owned();
            found.push(unseen("IA32_TSC_DEADLINE", why, "its writes are not counted, nor estimated"));
        }
        if self.guest.cpu.can_exit() && self.cost.is_none() {
            let why = "CPUID, by which it is measured, does not exit here".to_owned();
            found.push(unseen("exit cost", why, "there are no estimates"));
        }
        found
    }

    fn draw_interval(&self, page: &mut Page, report: &Report) {
        render::interval(page, report);
    }

    fn draw_summary(&self, page: &mut Page, report: &Report) {
        render::summary(page, report);
    }

    fn draw_verdict(&self, page: &mut Page, report: &Report) {
        render::verdict(page, report);
    }
}
