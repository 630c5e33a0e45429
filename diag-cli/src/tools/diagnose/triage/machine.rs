//! Numbers of the whole machine: pressure, steal, memory events, disks.

use std::{collections::HashMap, fs, path::Path};

/// Bytes of a sector in `/proc/diskstats` (Documentation/admin-guide/iostats.rst).
const SECTOR: u64 = 512;

/// What was counted since the machine started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Machine {
    /// Pressure of CPU, memory and I/O; none where the kernel has no such files.
    pub(crate) pressure: Option<Pressure>,
    pub(crate) cpu: Cpu,
    pub(crate) memory: Memory,
    pub(crate) disks: Vec<Disk>,
}

/// Time in which some task was stalled, ns (Documentation/accounting/psi.rst).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Pressure {
    pub(crate) cpu_ns: u64,
    pub(crate) memory_ns: u64,
    pub(crate) io_ns: u64,
}

/// CPU time of all CPUs, in clock ticks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Without time in which they were idle; steal is in it.
    pub(crate) busy: u64,
    pub(crate) steal: u64,
    /// Idle or not.
    pub(crate) total: u64,
}

/// Events of memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Times that a task had to free memory itself.
    pub(crate) stalls: u64,
    /// Pages read from swap.
    pub(crate) swapped_in: u64,
    /// Tasks that were killed for memory.
    pub(crate) kills: u64,
}

/// A disk's requests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Disk {
    pub(crate) name: String,
    /// Whether it rotates, as far as the kernel knows.
    pub(crate) rotates: bool,
    /// How many were completed, reads and writes.
    pub(crate) requests: u64,
    pub(crate) bytes: u64,
    /// Their time, queued and at the device, ns.
    pub(crate) ns: u64,
    /// The time in which there was one, ns.
    pub(crate) busy_ns: u64,
}

impl Machine {
    pub(super) fn read() -> Machine {
        let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Machine {
            pressure: Pressure::read(Path::new("/proc/pressure"), ""),
            cpu: Cpu::parse(&text("/proc/stat")),
            memory: Memory::parse(&text("/proc/vmstat")),
            disks: disks(&text("/proc/diskstats")),
        }
    }
}

impl Pressure {
    /// From the three files of a folder, whose names end so; none where it has none.
    pub(super) fn read(folder: &Path, suffix: &str) -> Option<Pressure> {
        let of = |name: &str| some_ns(&fs::read_to_string(folder.join(format!("{name}{suffix}"))).ok()?);
        let (cpu, memory, io) = (of("cpu"), of("memory"), of("io"));
        cpu.or(memory).or(io)?;
        let ns = Option::unwrap_or_default;
        Some(Pressure { cpu_ns: ns(cpu), memory_ns: ns(memory), io_ns: ns(io) })
    }

    /// What came after `first`.
    pub(crate) fn since(self, first: Pressure) -> Pressure {
        Pressure {
            cpu_ns: self.cpu_ns.saturating_sub(first.cpu_ns),
            memory_ns: self.memory_ns.saturating_sub(first.memory_ns),
            io_ns: self.io_ns.saturating_sub(first.io_ns),
        }
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234`, in µs.
fn some_ns(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let total = line.split(' ').find_map(|word| word.strip_prefix("total="))?;
    total.parse::<u64>().ok()?.checked_mul(1000)
}

impl Cpu {
    /// The line `cpu`: user, nice, system, idle, iowait, irq, softirq, steal, and guest times that are in the first two
    /// (Documentation/filesystems/proc.rst).
    fn parse(text: &str) -> Cpu {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu ")).unwrap_or_default();
        let ticks: Vec<u64> = line.split_whitespace().take(8).filter_map(|word| word.parse().ok()).collect();
        let at = |place: usize| ticks.get(place).copied().unwrap_or_default();
        let total = ticks.iter().sum::<u64>();
        Cpu { busy: total - at(3) - at(4), steal: at(7), total }
    }
}

impl Memory {
    fn parse(text: &str) -> Memory {
        let values: HashMap<&str, u64> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
            .collect();
        let of = |name: &str| values.get(name).copied().unwrap_or_default();
        let stalls = values.iter().filter(|(name, _)| name.starts_with("allocstall_")).map(|(_, n)| n).sum();
        Memory { stalls, swapped_in: of("pswpin"), kills: of("oom_kill") }
    }
}

/// The disks that have a folder of their own in `/sys/block`, so that partitions do not count twice.
fn disks(text: &str) -> Vec<Disk> {
    let disks = text.lines().filter_map(disk);
    let whole = |name: &str| Path::new("/sys/block").join(name.replace('/', "!"));
    disks
        .filter(|disk| disk.requests > 0 && whole(&disk.name).exists())
        .map(|disk| {
            let rotational = fs::read_to_string(whole(&disk.name).join("queue/rotational"));
            // Loop and virtual devices say that they rotate where nothing is known.
            let rotates = rotational.is_ok_and(|text| text.trim() == "1") && disk.name.starts_with("sd");
            Disk { rotates, ..disk }
        })
        .collect()
}

/// A line: numbers, name, then reads, merged, sectors, ms, and the same of writes, in flight, ms busy.
fn disk(line: &str) -> Option<Disk> {
    let mut words = line.split_whitespace().skip(2);
    let name = words.next()?.to_owned();
    let n: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
    let at = |place: usize| n.get(place).copied();
    Some(Disk {
        name,
        rotates: false,
        requests: at(0)? + at(4)?,
        bytes: (at(2)? + at(6)?) * SECTOR,
        ns: (at(3)? + at(7)?) * 1_000_000,
        busy_ns: at(9)? * 1_000_000,
    })
}

impl Disk {
    /// What came after `first`.
    pub(crate) fn since(&self, first: Option<&Disk>) -> Disk {
        let none = Disk::default();
        let first = first.unwrap_or(&none);
        Disk {
            name: self.name.clone(),
            rotates: self.rotates,
            requests: self.requests.saturating_sub(first.requests),
            bytes: self.bytes.saturating_sub(first.bytes),
            ns: self.ns.saturating_sub(first.ns),
            busy_ns: self.busy_ns.saturating_sub(first.busy_ns),
        }
    }

    /// The mean time of a request, ns; none without one.
    pub(crate) fn mean_ns(&self) -> Option<u64> {
        self.ns.checked_div(self.requests)
    }

    /// The mean size of a request.
    pub(crate) fn mean_bytes(&self) -> Option<u64> {
        self.bytes.checked_div(self.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_in_their_lines() {
        assert_eq!(some_ns("some avg10=0.12 avg60=0.00 total=17\nfull avg10=0 total=3\n"), Some(17_000));
        assert_eq!(some_ns("full total=3\n"), None);
        let stat = "cpu  10 1 5 70 4 2 1 7 3 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n";
        assert_eq!(Cpu::parse(stat), Cpu { busy: 26, steal: 7, total: 100 });
        assert_eq!(Cpu::parse(""), Cpu::default());
        let vmstat = "allocstall_normal 3\nallocstall_movable 4\npswpin 5\noom_kill 1\nnr_dirty 9\n";
        assert_eq!(Memory::parse(vmstat), Memory { stalls: 7, swapped_in: 5, kills: 1 });
    }

    #[test]
    fn a_disk_is_what_it_did_since() {
        let line = " 254       0 vda 100 2 1600 50 10 1 80 150 0 60 200 0 0 0 0 0 0";
        let last = disk(line).unwrap();
        assert_eq!(
            (last.requests, last.bytes, last.ns, last.busy_ns),
            (110, 860_160, 200_000_000, 60_000_000)
        );
        let first = Disk { requests: 100, ns: 100_000_000, bytes: 819_200, ..Disk::default() };
        let since = last.since(Some(&first));
        assert_eq!((since.mean_ns(), since.mean_bytes()), (Some(10_000_000), Some(4096)));
        assert_eq!(last.since(Some(&last)).mean_ns(), None);
        assert_eq!(disk("254 0 vda 1"), None);
    }
}
