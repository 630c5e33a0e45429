//! Cgroup ids of one hierarchy as people know them: by their paths.
//!
//! A cgroup can be gone before it is asked for: a CI job, a transient unit. So those that are made while a session traces are
//! taken down at once ([`Paths::learn`]), and those that were there before as soon as it traces ([`Paths::take_down`]).

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::hierarchy::{Hierarchy, Roots};

/// Cgroups that were made while the session traced and are remembered at most.
const MOST_MADE: usize = 32_768;
/// How often an unknown id may cost a walk through the hierarchy.
const WALK_EVERY: Duration = Duration::from_secs(1);

/// The paths of the cgroups of a hierarchy, by their ids. One that is gone keeps its path.
pub(super) struct Paths {
    /// The hierarchy.
    pub(super) hierarchy: Hierarchy,
    /// The number that the kernel gives it; none where that is not known.
    pub(super) number: Option<u32>,
    paths: HashMap<u64, Rc<str>>,
    /// The other way round: of several that had one path in turn, the newest.
    ids: HashMap<Rc<str>, u64>,
    walked: Option<Instant>,
    /// Those that were made while the session traced, oldest first.
    made: VecDeque<u64>,
}

impl Paths {
    /// Knows nothing yet.
    pub(super) fn new(hierarchy: &Hierarchy, roots: &Roots) -> Paths {
        Paths {
            hierarchy: hierarchy.clone(),
            number: hierarchy.number(roots),
            paths: HashMap::new(),
            ids: HashMap::new(),
            walked: None,
            made: VecDeque::new(),
        }
    }

    /// Remembers a cgroup that was made just now, by its path from the hierarchy's root. Of very many, the oldest that are gone
    /// are forgotten.
    pub(super) fn learn(&mut self, id: u64, path: &str) {
        if self.remember(id, path.to_owned()) {
            self.made.push_back(id);
        }
        while self.made.len() > MOST_MADE
            && let Some(oldest) = self.made.pop_front()
        {
            // One that is still there is found again by the next walk.
            if let Some(path) = self.paths.remove(&oldest)
                && self.ids.get(&path) == Some(&oldest)
            {
                self.ids.remove(&path);
            }
        }
    }

    /// Keeps what a path was last the path of; whether the cgroup is new.
    fn remember(&mut self, id: u64, path: String) -> bool {
        let path: Rc<str> = path.into();
        self.ids.insert(Rc::clone(&path), id);
        self.paths.insert(id, path).is_none()
    }

    /// The path of a cgroup; `None` for one that was gone before it was looked for.
    pub(super) fn path(&mut self, id: u64) -> Option<Rc<str>> {
        if !self.paths.contains_key(&id) {
            self.walk_now_and_then();
        }
        self.paths.get(&id).cloned()
    }

    /// The cgroup that has, or had last, a path; `None` where there is none.
    pub(super) fn find(&mut self, path: &str) -> Option<u64> {
        if !self.ids.contains_key(path) {
            self.walk_now_and_then();
        }
        self.id(path)
    }

    /// Looks for what is there, where that was not done yet, and returns all that is known.
    pub(super) fn take_down(&mut self) -> impl Iterator<Item = Rc<str>> {
        if self.walked.is_none() {
            self.walk();
        }
        self.paths.values().cloned()
    }

    fn walk_now_and_then(&mut self) {
        if self.walked.is_none_or(|walked| walked.elapsed() >= WALK_EVERY) {
            self.walk();
        }
    }

    /// The cgroup that has, or had last, a path; `None` for one that was not looked for.
    pub(super) fn id(&self, path: &str) -> Option<u64> {
        self.ids.get(path).copied()
    }

    /// Looks for every cgroup that is there now, and returns their ids, the root's first.
    pub(super) fn walk(&mut self) -> Vec<u64> {
        let folders = self.hierarchy.folders();
        for (folder, id) in &folders {
            self.remember(*id, self.hierarchy.path_of(folder));
        }
        self.walked = Some(Instant::now());
        folders.into_iter().map(|(_, id)| id).collect()
    }
}
