//! What the kernel side costs, by the kernel's own account.
//!
//! Counting it costs two clock reads a run, so it is switched on for short samples alone, and scaled up by time.

use std::{
    collections::HashMap,
    fs,
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

/// Memory of the kernel that this process' maps and programs take, bytes, by the kernel's own account; none where `/proc`
/// does not say. Before 6.4 a hash that is allocated as it fills counts as if it were full.
pub(crate) fn kernel_bytes() -> Option<u64> {
    let mut bytes = HashMap::new();
    for descriptor in fs::read_dir("/proc/self/fdinfo").ok()?.flatten() {
        // The one that this folder is read through is gone again.
        let Ok(info) = fs::read_to_string(descriptor.path()) else { continue };
        if let Some((what, size)) = memory(&info) {
            bytes.insert(what, size);
        }
    }
    Some(bytes.into_values().sum())
}

/// Whose memory a descriptor's `fdinfo` gives, of which several descriptors can stand for one, and how much
/// (`bpf_map_show_fdinfo`, `bpf_prog_show_fdinfo`, kernel/bpf/syscall.c, 5.10 to 6.18).
fn memory(info: &str) -> Option<(String, u64)> {
    let line =
        |key: &str| info.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let size = line("memlock")?.parse().ok()?;
    let what = ["map_id", "prog_id"].into_iter().find_map(|key| Some(format!("{key} {}", line(key)?)))?;
    Some((what, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_and_programs_have_memory_and_other_descriptors_have_none() {
        let map = "pos:\t0\nmap_type:\t2\nmemlock:\t4096\nmap_id:\t17\nfrozen:\t0\n";
        assert_eq!(memory(map), Some(("map_id 17".to_owned(), 4096)));
        let program = "pos:\t0\nprog_type:\t17\nmemlock:\t8192\nprog_id:\t17\n";
        assert_eq!(memory(program), Some(("prog_id 17".to_owned(), 8192)));
        assert_eq!(memory("pos:\t0\nflags:\t02\n"), None);
        assert!(kernel_bytes().is_some());
    }

    #[test]
    fn without_a_sample_the_cost_is_not_known() {
        assert_eq!(Sampler::default().over(Duration::from_secs(1)), None);
        let sampled = (KernelCost { run_ns: 10, events: 2 }, Duration::from_millis(100));
        let sampler = Sampler { sampled, ..Sampler::default() };
        assert_eq!(sampler.over(Duration::from_secs(1)), Some(KernelCost { run_ns: 100, events: 20 }));
    }
}
