//! What the kernel side costs, by the kernel's own account.
//!
//! Counting it costs two clock reads a run, so it is switched on for short samples alone, and scaled up by time.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use aya::{
    Ebpf,
    sys::{Stats, enable_stats},
};

/// From the beginning of one sample to the next. A sample itself lasts from one look at the session to the next, 50 ms.
const PERIOD: Duration = Duration::from_secs(2);

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
    begun: Option<Instant>,
    /// All samples of the session, and how long they were.
    sampled: (KernelCost, Duration),
}

impl Sampler {
    /// Begins or ends a sample, as it is time.
    pub(crate) fn turn(&mut self, ebpf: &Ebpf) {
        if self.running.is_some() {
            self.end(ebpf);
        } else if self.begun.is_none_or(|begun| begun.elapsed() >= PERIOD) {
            self.begin(ebpf);
        }
    }

    /// Begins a sample; none where the kernel does not keep these statistics (before 5.8), or not for this user.
    pub(crate) fn begin(&mut self, ebpf: &Ebpf) {
        let now = Instant::now();
        self.begun = Some(now);
        self.running = enable_stats(Stats::RunTime).ok().map(|statistics| (statistics, now, total(ebpf)));
    }

    /// Ends the sample that runs, if one does.
    pub(crate) fn end(&mut self, ebpf: &Ebpf) {
        if let Some((statistics, since, before)) = self.running.take() {
            let now = total(ebpf);
            drop(statistics);
            let (sum, length) = &mut self.sampled;
            sum.run_ns += now.run_ns.saturating_sub(before.run_ns);
            sum.events += now.events.saturating_sub(before.events);
            *length += since.elapsed();
        }
    }

    /// The cost over `span`, at the rate of the samples; none where no sample could be taken.
    pub(crate) fn over(&self, span: Duration) -> Option<KernelCost> {
        let (sum, length) = self.sampled;
        let scale = (!length.is_zero()).then(|| span.as_secs_f64() / length.as_secs_f64())?;
        let scaled = |count: u64| (count as f64 * scale) as u64;
        Some(KernelCost { run_ns: scaled(sum.run_ns), events: scaled(sum.events) })
    }
}

fn total(ebpf: &Ebpf) -> KernelCost {
    let infos = ebpf.programs().filter_map(|(_, program)| program.info().ok());
    infos.fold(KernelCost::default(), |sum, info| KernelCost {
        run_ns: sum.run_ns + info.run_time().as_nanos() as u64,
        events: sum.events + info.run_count(),
    })
}
