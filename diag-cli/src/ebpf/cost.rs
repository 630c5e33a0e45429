//! What the kernel side costs, by the kernel's own account.
//!
//! Counting it costs two clock reads a run, so it is switched on for a short sample of each interval alone, from one
//! look at the session to the next, and scaled up by time.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    sys::{Stats, enable_stats},
};

/// Time and runs of all programs of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KernelCost {
    /// Time, ns.
    pub(crate) run_ns: u64,
    /// Runs.
    pub(crate) events: u64,
}

/// Samples the cost of an object's programs.
#[derive(Default)]
pub(crate) struct Sampler {
    running: Option<(OwnedFd, Instant, KernelCost)>,
    /// The last sample, and how long it was.
    last: Option<(KernelCost, Duration)>,
}

impl Sampler {
    /// Begins a sample; without one where the kernel does not keep these statistics (before 5.8).
    pub(crate) fn begin(&mut self, ebpf: &Ebpf) {
        if self.running.is_none()
            && let Ok(statistics) = enable_stats(Stats::RunTime)
        {
            self.running = Some((statistics, Instant::now(), total(ebpf)));
        }
    }

    /// Ends the sample that runs, if one does.
    pub(crate) fn end(&mut self, ebpf: &Ebpf) {
        if let Some((statistics, since, before)) = self.running.take() {
            let now = total(ebpf);
            drop(statistics);
            let sample = KernelCost {
                run_ns: now.run_ns.saturating_sub(before.run_ns),
                events: now.events.saturating_sub(before.events),
            };
            self.last = Some((sample, since.elapsed()));
        }
    }

    /// The cost over `span`, from the last sample.
    pub(crate) fn over(&self, span: Duration) -> KernelCost {
        let Some((sample, length)) = self.last else { return KernelCost::default() };
        let scale = span.as_secs_f64() / length.as_secs_f64().max(1e-9);
        KernelCost {
            run_ns: (sample.run_ns as f64 * scale) as u64,
            events: (sample.events as f64 * scale) as u64,
        }
    }
}

fn total(ebpf: &Ebpf) -> KernelCost {
    let infos = ebpf.programs().filter_map(|(_, program)| program.info().ok());
    infos.fold(KernelCost::default(), |sum, info| KernelCost {
        run_ns: sum.run_ns + info.run_time().as_nanos() as u64,
        events: sum.events + info.run_count(),
    })
}
