//! Which groups took memory: by how much what is charged to their cgroups grew, step by step.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use diag_common::cause::{
    Cause::{self, Compaction, Reclaim},
    Layer,
};

use super::{args::By, harvest::Key, naming::Naming};
use crate::{
    output::record::{Unavailable, parties::Group},
    target::{CgroupNames, Hierarchies, Hierarchy, Roots, limit, places},
};

/// What records name in `unavailable`.
pub(super) const UNAVAILABLE: &str = "memory-growth";
/// Cgroups that are read at most: those nearest to the root. What cgroups below them take counts there.
const MOST: usize = 1_000;
/// How long a step is at least, and how much longer than reading takes.
const STEP: Duration = Duration::from_secs(1);
const TIMES: u32 = 100;
/// What a group takes in a record is worth a name from here on, bytes.
pub(crate) const LEAST: u64 = 8 << 20;

/// What is charged to cgroups, by their folders, at one moment.
#[derive(Debug, Default)]
struct Reading {
    bytes: HashMap<PathBuf, u64>,
    /// Whether it has all cgroups that there were.
    complete: bool,
}

/// Bytes that cgroups took, by their folders, and the group that each is of, where that is known.
pub(crate) type Taken = HashMap<PathBuf, (u64, Option<Key>)>;

/// Watches how much memory cgroups have.
pub(super) struct Growth {
    hierarchy: Option<Hierarchy>,
    last: Option<Reading>,
    next: Instant,
    /// Taken since the last boundary, and between that and the one before.
    taken: HashMap<PathBuf, u64>,
    ended: Taken,
    keys: HashMap<PathBuf, Key>,
}

impl Growth {
    /// Groups other than cgroups have no memory that is charged to them.
    pub(super) fn new(by: By) -> Growth {
        let of_memory = || Hierarchies::read(&Roots::default()).ok()?.of_controller("memory").cloned();
        Growth {
            hierarchy: if matches!(by, By::Container | By::Cgroup) { of_memory() } else { None },
            last: None,
            next: Instant::now(),
            taken: HashMap::new(),
            ended: Taken::new(),
            keys: HashMap::new(),
        }
    }

    /// A step within a record, so that what is given back in the end counts as taken.
    pub(super) fn poll(&mut self) {
        if self.last.is_some() && Instant::now() >= self.next {
            self.step();
        }
    }

    /// A record ends.
    pub(super) fn turned(&mut self, cgroups: Option<&mut CgroupNames>) {
        self.step();
        let Some(names) = cgroups else { return };
        self.ended.clear();
        for (folder, bytes) in self.taken.drain() {
            // Few take much: only their names are worth looking for.
            if bytes >= LEAST && !self.keys.contains_key(&folder) {
                let key = places::number_at(names, &folder).map(Key::Cgroup);
                self.keys.extend(key.map(|key| (folder.clone(), key)));
            }
            let key = self.keys.get(&folder).copied();
            self.ended.insert(folder, (bytes, key));
        }
    }

    /// What was taken between the last boundary and the one before.
    pub(super) fn take(&mut self) -> Taken {
        std::mem::take(&mut self.ended)
    }

    pub(super) fn unavailable(&self) -> Option<Unavailable> {
        let complete = self.last.as_ref()?.complete;
        (!complete).then(|| Unavailable {
            name: UNAVAILABLE.to_owned(),
            why: format!("there are more than {MOST} cgroups with memory"),
            effect: "what those farther from the root took counts for the cgroups above them".to_owned(),
        })
    }

    fn step(&mut self) {
        let Some(hierarchy) = &self.hierarchy else { return };
        let began = Instant::now();
        let now = read(hierarchy);
        if let Some(before) = &self.last {
            for (folder, bytes) in grown(before, &now) {
                *self.taken.entry(folder.to_owned()).or_default() += bytes;
            }
        }
        self.last = Some(now);
        self.next = Instant::now() + STEP.max(began.elapsed() * TIMES);
    }
}

fn read(hierarchy: &Hierarchy) -> Reading {
    let folders = hierarchy.first_folders(MOST + 1);
    let complete = folders.len() <= MOST;
    let bytes = folders.into_iter().take(MOST).filter_map(|(folder, _)| {
        let is_root = folder == hierarchy.mount && hierarchy.path_of(&folder) == "/";
        let bytes = if is_root { whole() } else { limit::charged(&folder) };
        Some((folder, bytes?))
    });
    Reading { bytes: bytes.collect(), complete }
}

/// Memory of programs and files on the whole machine, bytes: the root's own files make the kernel flush statistics, or are not there.
fn whole() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let kibi = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    let all = ["AnonPages", "Cached", "Buffers", "SwapCached"].map(kibi);
    all.into_iter().sum::<Option<u64>>().map(|sum| sum << 10)
}

/// By how much cgroups themselves grew, without those below them. What one that is gone leaves to the one above it is not taken.
fn grown<'a>(before: &Reading, now: &'a Reading) -> Vec<(&'a Path, u64)> {
    let since = |folder: &Path, bytes: u64| {
        let first = before.bytes.get(folder).copied().or(before.complete.then_some(0))?;
        Some(bytes.cast_signed() - first.cast_signed())
    };
    let mut own: HashMap<&Path, i64> = HashMap::new();
    for (folder, &bytes) in &now.bytes {
        let Some(more) = since(folder, bytes) else { continue };
        *own.entry(folder.as_path()).or_default() += more;
        let above = folder.parent().and_then(|above| now.bytes.get_key_value(above));
        if let Some((above, _)) = above {
            *own.entry(above.as_path()).or_default() -= more;
        }
    }
    let more = own.into_iter().filter_map(|(folder, more)| Some((folder, u64::try_from(more).ok()?)));
    more.filter(|&(_, bytes)| bytes > 0).collect()
}

/// Who took memory while a group waited for some.
pub(super) struct Takers<'a> {
    taken: &'a Taken,
    /// The cgroup whose limit is reached that holds the group.
    limited: Option<PathBuf>,
}

impl<'a> Takers<'a> {
    /// While this group waited.
    pub(super) fn new(taken: &'a Taken, group: &Group, naming: &Naming<'_, '_>) -> Takers<'a> {
        let limit = || limit::of_memory(&naming.folders(group, "memory"));
        Takers { taken, limited: if taken.is_empty() { None } else { limit().map(|limit| limit.folder) } }
    }

    /// The part of each, 0 to 1, in the time of a cause of the layer `memory`. Where a limit is what memory has to be made for, it
    /// is of what the limit holds.
    pub(super) fn of(&self, cause: Cause) -> Vec<(Key, f64)> {
        debug_assert_eq!(cause.layer(), Layer::Memory);
        let within = self.limited.as_deref().filter(|_| !matches!(cause, Reclaim | Compaction));
        let is_in = |folder: &Path| within.is_none_or(|limited| folder.starts_with(limited));
        let all = || self.taken.iter().filter(|(folder, _)| is_in(folder)).map(|(_, &taken)| taken);
        let sum: u64 = all().map(|(bytes, _)| bytes).sum();
        let mut by_key: HashMap<Key, u64> = HashMap::new();
        for (bytes, key) in all() {
            if let Some(key) = key {
                *by_key.entry(key).or_default() += bytes;
            }
        }
        let named = by_key.into_iter().filter(|&(_, bytes)| bytes >= LEAST);
        named.map(|(key, bytes)| (key, bytes as f64 / sum as f64)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(complete: bool, all: &[(&str, u64)]) -> Reading {
        let bytes = all.iter().map(|&(folder, mebi)| (PathBuf::from(folder), mebi << 20)).collect();
        Reading { bytes, complete }
    }

    fn mebi(before: &Reading, now: &Reading) -> Vec<(String, u64)> {
        let grown = grown(before, now).into_iter();
        let mut list: Vec<_> =
            grown.map(|(folder, bytes)| (folder.display().to_string(), bytes >> 20)).collect();
        list.sort();
        list
    }

    #[test]
    fn a_cgroup_takes_what_it_grew_by_without_those_below_it() {
        let before = reading(true, &[("/m", 100), ("/m/pod", 60), ("/m/pod/a", 20), ("/m/pod/b", 30)]);
        let now = reading(true, &[("/m", 190), ("/m/pod", 130), ("/m/pod/a", 70), ("/m/pod/b", 25)]);
        let expected = [("/m", 20), ("/m/pod", 25), ("/m/pod/a", 50)];
        assert_eq!(mebi(&before, &now), expected.map(|(folder, mebi)| (folder.to_owned(), mebi)));
    }

    #[test]
    fn what_is_made_in_a_step_took_all_that_it_has_if_all_were_seen() {
        let now = reading(true, &[("/m", 50), ("/m/new", 50)]);
        assert_eq!(mebi(&reading(true, &[("/m", 0)]), &now), [("/m/new".to_owned(), 50)]);
        assert_eq!(mebi(&reading(false, &[("/m", 0)]), &now), [("/m".to_owned(), 50)]);
    }

    #[test]
    fn what_one_that_is_gone_leaves_behind_is_not_taken() {
        let before = reading(true, &[("/m", 50), ("/m/gone", 50)]);
        assert_eq!(mebi(&before, &reading(true, &[("/m", 40)])), []);
    }

    #[test]
    fn takers_are_those_within_the_limit_where_one_is_reached() {
        let taken = |folder: &str, mebi: u64, key| (PathBuf::from(folder), (mebi << 20, key));
        let taken: Taken = [
            taken("/m/pod/hog", 75, Some(Key::Cgroup(1))),
            taken("/m/pod/web", 24, Some(Key::Cgroup(2))),
            taken("/m/pod/small", 1, Some(Key::Cgroup(3))),
            taken("/m/other", 100, None),
        ]
        .into();
        let of = |limited: Option<&str>, cause| {
            let mut list = Takers { taken: &taken, limited: limited.map(PathBuf::from) }.of(cause);
            list.sort_by_key(|(key, _)| *key);
            list
        };
        let (hog, web) = (Key::Cgroup(1), Key::Cgroup(2));
        assert_eq!(of(Some("/m/pod"), Cause::MemcgReclaim), [(hog, 0.75), (web, 0.24)]);
        assert_eq!(of(Some("/m/pod/web"), Cause::MemcgReclaim), [(web, 1.0)]);
        assert_eq!(of(Some("/m/pod"), Reclaim), [(hog, 0.375), (web, 0.12)]);
        assert_eq!(of(None, Cause::SwapIn), [(hog, 0.375), (web, 0.12)]);
        assert_eq!(Takers { taken: &Taken::new(), limited: None }.of(Reclaim), []);
    }

    #[test]
    fn the_whole_machine_is_read() {
        assert!(whole() > Some(1 << 20));
    }
}
