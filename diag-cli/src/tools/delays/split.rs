//! From what the kernel side counted to causes: by its own word, and by stacks where it has none.

use std::collections::HashMap;

use anyhow::Result;
use aya::maps::{HashMap as BpfHashMap, MapData};
use diag_common::{
    cause::Class,
    delays::{BEFORE, Cell, EVERY, GroupBy, KERNEL_THREADS, SampleKey, Wait, via, what},
    who::{self, Who},
};

use super::{
    account::{Stretch, Totals, is_presence},
    classify::{Classifier, Told, plain},
    counted::Counted,
    harvest::{Account, Harvest, Key, LONGEST, Late, Longest, Name, Part, Sampled},
};
use crate::{
    ebpf::who::People,
    output::record::{Unavailable, parties::Resource},
};

/// Names groups and explains waits.
pub(super) struct Splitter {
    by: GroupBy,
    classifier: Classifier,
    people: People,
    /// When processes or threads that are groups started, ns since boot, by the groups' numbers.
    starts: BpfHashMap<MapData, u32, u64>,
}

/// A group's number, and [`what`] without bucket and kind.
type Of = (u32, u32);
/// In place of a group's number: any group's.
const ANY: u32 = u32::MAX;

/// Stacks by where they were taken, and the time of the waits there.
#[derive(Default)]
struct Shares(HashMap<Of, Vec<(Told, u64)>>);

impl Shares {
    fn add(&mut self, of: Of, told: &Told, weight: u64) {
        self.0.entry(of).or_default().push((told.clone(), weight));
    }

    /// How waits of a group at a place divide: by its own stacks, else by those of all groups.
    fn of(&self, (who, base): Of) -> &[(Told, u64)] {
        let shares = self.0.get(&(who, base)).or_else(|| self.0.get(&(ANY, base)));
        shares.map_or(&[], Vec::as_slice)
    }
}

impl Splitter {
    pub(super) fn new(
        by: GroupBy,
        classifier: Classifier,
        people: People,
        starts: BpfHashMap<MapData, u32, u64>,
    ) -> Splitter {
        Splitter { by, classifier, people, starts }
    }

    /// Whether what was counted is to be split soon, since groups come and go.
    pub(super) fn is_crowded(&self) -> Result<bool> {
        self.people.is_crowded()
    }

    /// Forgets groups that nothing was counted under since the last call, but for those that have threads.
    pub(super) fn release(&mut self, totals: &Totals) -> Result<()> {
        for gone in self.people.release(|who| totals.has(who))? {
            // Most groups have none there.
            self.starts.remove(&gone).ok();
        }
        Ok(())
    }

    /// What the records lack.
    pub(super) fn unavailable(&self) -> Option<Unavailable> {
        self.classifier.unavailable()
    }

    /// What the threads did between two boundaries.
    pub(super) fn split(&mut self, counted: &Counted) -> Harvest {
        let mut harvest = Harvest::default();
        let mut short = Shares::default();
        let mut long: HashMap<(u32, u32), Vec<(Told, u64)>> = HashMap::new();
        let mut unexplained = self.known_times(&mut harvest, &counted.stretch);
        for (key, cell) in &counted.samples {
            let told = self.classifier.by_number(key.stack, key.what);
            let base = base(key.what);
            if key.flags & BEFORE != 0 {
                self.add_before(&mut harvest, &mut unexplained, key, &told, cell.ns);
            } else if key.flags & EVERY == 0 {
                short.add((key.who, base), &told, cell.ns);
                short.add((ANY, base), &told, cell.ns);
            } else {
                self.add_time(&mut harvest, key.who, told.part, cell.ns);
                self.add_stack(&mut harvest, key.who, &told, cell.ns);
                long.entry((key.who, key.what)).or_default().push((told, cell.count));
            }
        }
        for wait in &counted.open {
            self.add_open(&mut harvest, &mut unexplained, wait, counted);
        }
        for ((who, what), ns) in unexplained {
            self.add_unexplained(&mut harvest, &short, who, what, ns);
        }
        for (&of, &cell) in &counted.waits {
            self.add_waits(&mut harvest, &short, &long, of, cell);
        }
        for (resource, pairs) in [(Resource::Cpu, &counted.pairs), (Resource::Lock, &counted.locks)] {
            for (&of, cell) in pairs {
                self.add_culprit(&mut harvest, resource, (of >> 32) as u32, of as u32, cell.ns);
            }
        }
        for (&(waiter, submitter), &ns) in &counted.disks {
            self.add_culprit(&mut harvest, Resource::Device, waiter, submitter, ns);
        }
        for wait in &counted.ended {
            let told = (wait.stack != 0).then(|| self.classifier.by_number(wait.stack, wait.what));
            let told = told.unwrap_or_else(|| Told { part: plain(wait.what), functions: [].into() });
            self.add_longest(&mut harvest, wait, wait.ns, &told);
        }
        harvest.longest.sort_by_key(|wait| std::cmp::Reverse(wait.ns));
        harvest.longest.truncate(LONGEST);
        harvest
    }

    /// Counts times whose cause is known, and returns the others.
    fn known_times(&mut self, harvest: &mut Harvest, stretch: &Stretch) -> HashMap<Of, u64> {
        let mut unexplained = HashMap::new();
        for (&who, &count) in &stretch.present {
            self.account(harvest, who).present_count += count;
        }
        for &(of, ns) in &stretch.times {
            let (who, what) = ((of >> 32) as u32, of as u32);
            let ns = u64::try_from(ns).unwrap_or(0);
            if is_presence(of) {
                self.account(harvest, who).thread_ns += ns;
            } else if what::state(what) >= what::UNEXPLAINED {
                unexplained.insert((who, what), ns);
            } else {
                let spent = self.add_time(harvest, who, plain(what), ns);
                if what::kind(what) == what::ON_CPU {
                    spent.on_cpu_ns += ns;
                }
            }
        }
        unexplained
    }

    /// Counts what a long wait had before the last boundary: where that lies in an earlier record, the total is corrected.
    fn add_before(
        &mut self,
        harvest: &mut Harvest,
        unexplained: &mut HashMap<Of, u64>,
        key: &SampleKey,
        told: &Told,
        ns: u64,
    ) {
        let left = unexplained.entry((key.who, base(key.what))).or_default();
        let earlier = ns - ns.min(*left);
        *left -= ns - earlier;
        if earlier < ns {
            self.add_time(harvest, key.who, told.part, ns - earlier);
            self.add_stack(harvest, key.who, told, ns - earlier);
        }
        if earlier > 0 {
            let (key, from) = (self.key(key.who).0, plain(key.what));
            harvest.late.push(Late { key, from, to: told.part, ns: earlier });
        }
    }

    /// Counts the part of a wait that goes on which falls into the stretch.
    fn add_open(
        &mut self,
        harvest: &mut Harvest,
        unexplained: &mut HashMap<Of, u64>,
        wait: &Wait,
        counted: &Counted,
    ) {
        let told = self.classifier.by_frames(&wait.frames, wait.what);
        if let Some(left) = unexplained.get_mut(&(wait.who, wait.what)) {
            let ns = counted.until.saturating_sub(wait.since.max(counted.since)).min(*left);
            *left -= ns;
            self.add_time(harvest, wait.who, told.part, ns);
            self.add_stack(harvest, wait.who, &told, ns);
        }
        let after = wait.since.saturating_sub(counted.until);
        if after == 0 {
            self.add_longest(harvest, wait, wait.ns, &told);
        }
    }

    /// Divides time between the stacks that were taken where it was spent.
    fn add_unexplained(&mut self, harvest: &mut Harvest, shares: &Shares, who: u32, what: u32, ns: u64) {
        let on_cpu = what::kind(what) == what::ON_CPU;
        let divided = divide(ns, shares.of((who, base(what))));
        if divided.is_empty() {
            let spent = self.add_time(harvest, who, plain(what), ns);
            spent.on_cpu_ns += if on_cpu { ns } else { 0 };
        }
        let via = plain(what).via;
        for (told, ns) in divided {
            let told = &Told { part: Part { via, ..told.part }, functions: told.functions.clone() };
            let spent = self.add_time(harvest, who, told.part, ns);
            spent.on_cpu_ns += if on_cpu { ns } else { 0 };
            self.add_stack(harvest, who, told, ns);
        }
    }

    /// Counts waits that ended, and what earlier stretches have in another state.
    fn add_waits(
        &mut self,
        harvest: &mut Harvest,
        short: &Shares,
        long: &HashMap<Of, Vec<(Told, u64)>>,
        of: u64,
        cell: Cell,
    ) {
        let (who, what) = ((of >> 32) as u32, of as u32);
        let state = what::state(what);
        if what::kind(what) == what::LATE {
            let from = plain(what::with_via(what::with_state(what, what::bucket(what)), via::NONE));
            harvest.late.push(Late { key: self.key(who).0, from, to: plain(what), ns: cell.ns });
            return;
        }
        if state == what::THREADS {
            self.account(harvest, who).joined_count += cell.count;
            return;
        }
        let bucket = what::bucket(what);
        let mut add = |harvest: &mut Harvest, part: Part, count: u64| {
            if count == 0 {
                return;
            }
            let mean = cell.ns / cell.count;
            let spent = self.account(harvest, who).parts.entry(part).or_default();
            *spent.waits.entry(bucket).or_default() += count;
            spent.waits_ns += if count == cell.count { cell.ns } else { count * mean };
            spent.longest_ns = spent.longest_ns.max(mean);
        };
        if state < what::UNEXPLAINED {
            add(harvest, plain(what), cell.count);
            return;
        }
        let every = long.get(&(who, what::of_kind(what, what::TIME))).map_or(&[][..], Vec::as_slice);
        let shares = if every.is_empty() { short.of((who, base(what))) } else { every };
        let divided = divide(cell.count, shares);
        if divided.is_empty() {
            add(harvest, plain(what), cell.count);
        }
        let via = plain(what).via;
        for (told, count) in divided {
            add(harvest, Part { via, ..told.part }, count);
        }
    }

    fn add_longest(&mut self, harvest: &mut Harvest, wait: &Wait, ns: u64, told: &Told) {
        if told.part.cause.class() != Class::Lost {
            return;
        }
        harvest.longest.push(Longest {
            key: self.key(wait.who).0,
            tgid: wait.tgid,
            tid: wait.tid,
            comm: who::name(wait.comm),
            process_comm: who::name(wait.process_comm),
            cgroup: wait.cgroup,
            start_ns: wait.start_ns,
            ns,
            part: told.part,
            stack: told.functions.to_vec(),
            open: wait.phase != 0,
        });
    }

    fn add_time<'a>(
        &mut self,
        harvest: &'a mut Harvest,
        who: u32,
        part: Part,
        ns: u64,
    ) -> &'a mut super::harvest::Spent {
        let spent = self.account(harvest, who).parts.entry(part).or_default();
        spent.ns += ns;
        spent
    }

    fn add_stack(&mut self, harvest: &mut Harvest, who: u32, told: &Told, ns: u64) {
        if !told.functions.is_empty() {
            let sampled =
                Sampled { key: self.key(who).0, part: told.part, functions: told.functions.clone() };
            *harvest.stacks.entry(sampled).or_default() += ns;
        }
    }

    /// Counts time for which a group waited for what another had.
    fn add_culprit(&mut self, harvest: &mut Harvest, resource: Resource, waiter: u32, other: u32, ns: u64) {
        let other = self.named(harvest, other);
        *self.account(harvest, waiter).culprits.entry((resource, other)).or_default() += ns;
    }

    fn account<'a>(&mut self, harvest: &'a mut Harvest, who: u32) -> &'a mut Account {
        let key = self.named(harvest, who);
        harvest.groups.entry(key).or_default()
    }

    /// The group behind a number, whose name is kept where it is a process or thread.
    fn named(&mut self, harvest: &mut Harvest, who: u32) -> Key {
        let (key, comm) = self.key(who);
        if let Some(comm) = comm {
            let start_ns = || self.starts.get(&who, 0).ok();
            harvest.names.entry(key).or_insert_with(|| Name { comm, start_ns: start_ns() });
        }
        key
    }

    /// The group behind a number, and the name of the process or thread that it is.
    fn key(&mut self, number: u32) -> (Key, Option<Vec<u8>>) {
        let Some(who) = self.people.get(number) else { return (Key::Rest, None) };
        let Who { comm, cgroup, tgid, tid } = who;
        match self.by {
            GroupBy::Cgroup if cgroup == KERNEL_THREADS => (Key::Kernel, None),
            GroupBy::Cgroup => (Key::Cgroup(cgroup), None),
            GroupBy::Comm => (Key::Comm(comm), None),
            GroupBy::Process => (Key::Process(tgid), Some(who.name())),
            GroupBy::Thread => (Key::Thread(tgid, tid), Some(who.name())),
        }
    }
}

fn base(of: u32) -> u32 {
    what::time(what::state(of), what::place(of))
}

/// Divides `whole` by weights; what rounding leaves goes to the heaviest. Nothing where there are no weights.
fn divide<T>(whole: u64, weights: &[(T, u64)]) -> Vec<(&T, u64)> {
    let sum: u128 = weights.iter().map(|&(_, weight)| u128::from(weight)).sum();
    if sum == 0 {
        return Vec::new();
    }
    let part = |weight: u64| (u128::from(whole) * u128::from(weight) / sum) as u64;
    let mut divided: Vec<(&T, u64)> = weights.iter().map(|(of, weight)| (of, part(*weight))).collect();
    let left = whole - divided.iter().map(|(_, part)| part).sum::<u64>();
    if let Some(heaviest) = (0..weights.len()).max_by_key(|&at| weights[at].1) {
        divided[heaviest].1 += left;
    }
    divided
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole() {
        assert_eq!(divide(10, &[("a", 1), ("b", 2)]), [(&"a", 3), (&"b", 7)]);
        assert_eq!(divide(10, &[("a", 0)]), []);
        let all: u64 =
            divide(u64::MAX, &[((), 3), ((), u64::MAX), ((), 5)]).iter().map(|(_, part)| part).sum();
        assert_eq!(all, u64::MAX);
    }
}
