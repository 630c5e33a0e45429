//! Cgroup ids as people know them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::hierarchy::Hierarchy;

/// How often an unknown id may cost a walk through the hierarchy.
const WALK_EVERY: Duration = Duration::from_secs(1);

/// The paths of the cgroups of one hierarchy, by their ids. One that is gone keeps its path.
pub(crate) struct CgroupNames {
    hierarchy: Hierarchy,
    paths: HashMap<u64, String>,
    walked: Option<Instant>,
}

impl CgroupNames {
    /// Knows nothing yet; the first question walks the hierarchy.
    pub(crate) fn new(hierarchy: Hierarchy) -> CgroupNames {
        CgroupNames { hierarchy, paths: HashMap::new(), walked: None }
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
