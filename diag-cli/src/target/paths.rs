//! Cgroup ids as people know them: by their paths, and by the containers that they are.
//!
//! A cgroup can be gone before it is asked for: a CI job, a transient unit. So those that are made while a session traces are
//! taken down at once ([`CgroupNames::learn`]); the hierarchy is walked for those that were there before.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::hierarchy::Hierarchy;
use super::identity::ContainerNames;
use crate::output::{record::parties::Container, text::escape};

/// Cgroups that were made while the session traced and are remembered at most.
const MOST_MADE: usize = 32_768;
/// How often an unknown id may cost a walk through the hierarchy.
const WALK_EVERY: Duration = Duration::from_secs(1);

/// The paths of the cgroups of one hierarchy, by their ids. One that is gone keeps its path.
pub(crate) struct CgroupNames {
    hierarchy: Hierarchy,
    number: Option<u32>,
    containers: ContainerNames,
    paths: HashMap<u64, String>,
    walked: Option<Instant>,
    /// Those that were made while the session traced, oldest first.
    made: VecDeque<u64>,
}

/// Where a task belongs: what records have as `cgroup` and `container`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Home {
    /// The path of its cgroup.
    pub(crate) cgroup: Option<String>,
    /// Its container; none outside of containers.
    pub(crate) container: Option<Container>,
}

impl CgroupNames {
    /// Knows nothing yet; the first question walks the hierarchy.
    pub(crate) fn new(hierarchy: Hierarchy, containers: ContainerNames) -> CgroupNames {
        CgroupNames {
            number: hierarchy.number(),
            hierarchy,
            containers,
            paths: HashMap::new(),
            walked: None,
            made: VecDeque::new(),
        }
    }

    /// Remembers a cgroup of this hierarchy that was made just now, by its path from the hierarchy's root. Of very many, the
    /// oldest that are gone are forgotten.
    pub(crate) fn learn(&mut self, id: u64, path: &[u8]) {
        let path = escape(path);
        if self.paths.insert(id, path).is_none() {
            self.made.push_back(id);
        }
        while self.made.len() > MOST_MADE
            && let Some(oldest) = self.made.pop_front()
        {
            // One that is still there is found again by the next walk.
            self.paths.remove(&oldest);
        }
    }

    /// The hierarchy whose cgroups they are.
    pub(crate) fn hierarchy(&self) -> &Hierarchy {
        &self.hierarchy
    }

    /// The number that the kernel gives that hierarchy; none where it is not known.
    pub(crate) fn hierarchy_number(&self) -> Option<u32> {
        self.number
    }

    /// Where tasks in a cgroup belong; nothing is known of one that was gone before it was looked for.
    pub(crate) fn home(&mut self, id: u64) -> Home {
        let cgroup = self.path(id).map(str::to_owned);
        let container = cgroup.as_deref().and_then(|path| self.containers.of_cgroup(path)).cloned();
        Home { cgroup, container }
    }

    /// The path of a cgroup within the hierarchy; `None` for one that was gone before it was looked for.
    pub(crate) fn path(&mut self, id: u64) -> Option<&str> {
        if !self.paths.contains_key(&id) && self.walked.is_none_or(|walked| walked.elapsed() >= WALK_EVERY) {
            for (folder, id) in self.hierarchy.folders() {
                self.paths.insert(id, self.hierarchy.path_of(&folder));
            }
            self.walked = Some(Instant::now());
        }
        self.paths.get(&id).map(String::as_str)
    }
}
