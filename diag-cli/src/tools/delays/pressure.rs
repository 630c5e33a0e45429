//! Pressure stall information of the groups' cgroups, as the kernel keeps it in files of cgroup v2.

use std::{
    collections::{HashMap, HashSet},
    fs,
    path::Path,
};

use super::{
    args::By,
    harvest::{Harvest, Key},
    naming::Naming,
    record::Pressure,
};
use crate::{
    output::record::{Kind, parties::Group},
    target::CgroupNames,
};

/// Cgroups that are read at most: each costs three files.
const MOST: usize = 200;

/// What was read at one moment, by the path of a group's cgroup.
type Readings = HashMap<String, Pressure>;

/// The pressure of groups, from the beginning to the end of a record.
pub(super) struct Pressures {
    by: By,
    /// At the beginning of the session; none before that, or where there is nothing to read.
    began: Option<Readings>,
    /// Whether all groups that there were then are in it: others were made later.
    complete: bool,
    /// At the end of the last interval but one, and of the last.
    before: Readings,
    now: Readings,
    /// Groups that records have listed and that were not there at the beginning.
    listed: HashSet<String>,
}

impl Pressures {
    pub(super) fn new(by: By) -> Pressures {
        Pressures {
            by,
            began: None,
            complete: false,
            before: Readings::new(),
            now: Readings::new(),
            listed: HashSet::new(),
        }
    }

    /// Reads what the next record ends with, and the one after it begins with.
    pub(super) fn turned(&mut self, cgroups: Option<&mut CgroupNames>) {
        let has_files = matches!(self.by, By::Container | By::Cgroup);
        let Some(names) = cgroups.filter(|names| has_files && names.hierarchy().is_unified()) else { return };
        let known = self.began.as_ref().map(|began| began.keys().chain(&self.listed).cloned().collect());
        let paths: Vec<String> = known.unwrap_or_else(|| self.present(names));
        let now = paths.into_iter().take(MOST).filter_map(|path| {
            let pressure = read(&names.folder(&path))?;
            Some((path, pressure))
        });
        self.before = std::mem::replace(&mut self.now, now.collect());
        self.began.get_or_insert_with(|| self.now.clone());
    }

    /// The cgroups of the groups that there are now.
    fn present(&mut self, names: &mut CgroupNames) -> Vec<String> {
        let ids = names.walk();
        let mut names = Some(names);
        let mut naming = Naming::new(self.by, &mut names);
        let none = Harvest::default();
        let mut seen = HashSet::new();
        let groups = ids.into_iter().filter_map(|id| naming.group(Key::Cgroup(id), &none).cgroup);
        let paths: Vec<String> = groups.filter(|path| seen.insert(path.clone())).collect();
        self.complete = paths.len() <= MOST;
        paths
    }

    /// The pressure of a listed group in the time of a record. Nothing is known of one that was made, or first listed, within
    /// an interval.
    pub(super) fn of(&mut self, group: &Group, kind: Kind, names: &CgroupNames) -> Option<Pressure> {
        let path = group.cgroup.as_ref().filter(|_| names.is_of_first(group))?;
        let began = self.began.as_ref()?;
        let first = match kind {
            Kind::Interval => self.before.get(path).copied(),
            _ if began.contains_key(path) => began.get(path).copied(),
            // It was made since, and so were its files.
            _ => self.complete.then(Pressure::default),
        };
        if !began.contains_key(path) {
            self.listed.insert(path.clone());
        }
        let last = self.now.get(path).copied().or_else(|| read(&names.folder(path)));
        Some(since(last?, first?))
    }
}

/// What came after `first`. A cgroup of the same path that was made anew begins at nothing.
fn since(last: Pressure, first: Pressure) -> Pressure {
    let ns = |last: Option<u64>, first: Option<u64>| {
        last.map(|last| last.checked_sub(first.unwrap_or(0)).unwrap_or(last))
    };
    Pressure {
        cpu_some_ns: ns(last.cpu_some_ns, first.cpu_some_ns),
        memory_some_ns: ns(last.memory_some_ns, first.memory_some_ns),
        memory_full_ns: ns(last.memory_full_ns, first.memory_full_ns),
        io_some_ns: ns(last.io_some_ns, first.io_some_ns),
        io_full_ns: ns(last.io_full_ns, first.io_full_ns),
    }
}

/// What the files of a cgroup say, since it was made; none where it has none.
fn read(folder: &Path) -> Option<Pressure> {
    let text = |file: &str| fs::read_to_string(folder.join(file)).unwrap_or_default();
    let (cpu, memory, io) = (text("cpu.pressure"), text("memory.pressure"), text("io.pressure"));
    let pressure = Pressure {
        cpu_some_ns: total_ns(&cpu, "some"),
        memory_some_ns: total_ns(&memory, "some"),
        memory_full_ns: total_ns(&memory, "full"),
        io_some_ns: total_ns(&io, "some"),
        io_full_ns: total_ns(&io, "full"),
    };
    (pressure != Pressure::default()).then_some(pressure)
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=1234`, in µs (Documentation/accounting/psi.rst).
fn total_ns(text: &str, line: &str) -> Option<u64> {
    let line = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '))?;
    let total = line.split(' ').find_map(|word| word.strip_prefix("total="))?;
    total.parse::<u64>().ok()?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        output::record::parties::GroupType,
        target::tests::{Machine, WEB, names_of},
    };

    fn write(machine: &Machine, cgroup: &str, us: u64) {
        let line = |word: &str, us: u64| format!("{word} avg10=0.00 avg60=1.20 avg300=0.00 total={us}\n");
        for file in ["cpu", "memory", "io"] {
            let text = line("some", us) + &line("full", us / 2);
            machine.write(&format!("unified{cgroup}/{file}.pressure"), &text);
        }
    }

    fn machine(name: &str) -> Machine {
        let mut machine = Machine::new();
        machine.mount(name, "cgroup2", "rw");
        machine
    }

    fn group(cgroup: &str) -> Group {
        Group { cgroup: Some(cgroup.to_owned()), ..Group::of(GroupType::Unit) }
    }

    fn some_ns(
        pressures: &mut Pressures,
        kind: Kind,
        cgroup: &str,
        names: &CgroupNames,
    ) -> Option<Option<u64>> {
        pressures.of(&group(cgroup), kind, names).map(|pressure| pressure.io_some_ns)
    }

    #[test]
    fn a_record_has_what_came_in_its_time() {
        let machine = machine("unified");
        let mut names = names_of(&machine);
        let container = format!("/system.slice/docker-{WEB}.scope");
        write(&machine, &container, 100);
        write(&machine, &format!("{container}/inner"), 7);
        write(&machine, "/a.service", 1_000);
        machine.busy("unified/none.service");
        let mut pressures = Pressures::new(By::Container);
        pressures.turned(Some(&mut names));
        for (cgroup, us) in [(container.as_str(), 150), ("/a.service", 4_000)] {
            write(&machine, cgroup, us);
        }
        pressures.turned(Some(&mut names));
        let mut of = |kind, cgroup| some_ns(&mut pressures, kind, cgroup, &names);
        assert_eq!(of(Kind::Interval, &container), Some(Some(50_000)));
        assert_eq!(of(Kind::Interval, "/a.service"), Some(Some(3_000_000)));
        assert_eq!(of(Kind::Interval, "/none.service"), None);

        // One is made, another made anew.
        write(&machine, "/new.service", 30);
        write(&machine, "/a.service", 20);
        pressures.turned(Some(&mut names));
        let mut of = |kind, cgroup| some_ns(&mut pressures, kind, cgroup, &names);
        assert_eq!(of(Kind::Interval, "/new.service"), None, "nothing was read when the interval began");
        assert_eq!(of(Kind::Interval, "/a.service"), Some(Some(20_000)));
        assert_eq!(of(Kind::Summary, "/new.service"), Some(Some(30_000)));
        assert_eq!(of(Kind::Summary, &container), Some(Some(50_000)));

        write(&machine, "/new.service", 31);
        pressures.turned(Some(&mut names));
        assert_eq!(some_ns(&mut pressures, Kind::Interval, "/new.service", &names), None);
        write(&machine, "/new.service", 41);
        pressures.turned(Some(&mut names));
        assert_eq!(some_ns(&mut pressures, Kind::Interval, "/new.service", &names), Some(Some(10_000)));
    }

    #[test]
    fn what_has_no_files_has_no_pressure() {
        let machine = machine("unified");
        write(&machine, "/a.service", 1_000);
        let mut names = names_of(&machine);
        for by in [By::Comm, By::Process, By::Thread] {
            let mut pressures = Pressures::new(by);
            pressures.turned(Some(&mut names));
            pressures.turned(Some(&mut names));
            assert_eq!(some_ns(&mut pressures, Kind::Summary, "/a.service", &names), None, "{by:?}");
        }
    }

    #[test]
    fn totals_are_read_from_their_line() {
        let text = "some avg10=0.12 avg60=0.00 avg300=0.00 total=17\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n";
        assert_eq!((total_ns(text, "some"), total_ns(text, "full")), (Some(17_000), Some(3_000)));
        assert_eq!((total_ns("", "some"), total_ns("some total=x\n", "some")), (None, None));
    }
}
