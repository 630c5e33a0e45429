//! Which container a cgroup is.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::hierarchy::{Hierarchies, Hierarchy, Roots};
use super::label::{Label, is_id, label};
use super::names::{KnownNames, Names};
use crate::output::record::parties::Container;
use crate::output::text::{escape, unescape};

/// How many containers are remembered, so that a machine that makes them all the time does not fill the memory.
const MOST_REMEMBERED: usize = 16_384;

/// A container by its cgroup's name, and by what state on disk says of it.
pub(super) fn container(label: &Label, names: &Names) -> Container {
    Container {
        id: label.id.clone(),
        name: names.own.first().cloned(),
        runtime: label.runtime,
        pod: names.pod.clone(),
        namespace: names.namespace.clone(),
    }
}

/// The containers of a machine by their cgroups. The engines' lists are read at the first question, and again at most
/// every second where a container is in none of them.
pub(super) struct ContainerNames {
    roots: Roots,
    hierarchies: Hierarchies,
    known: Option<KnownNames>,
    /// By the path of the container's own cgroup.
    remembered: HashMap<PathBuf, Container>,
}

impl ContainerNames {
    /// Knows nothing yet.
    pub(super) fn new(roots: &Roots, hierarchies: Hierarchies) -> ContainerNames {
        ContainerNames { roots: roots.clone(), hierarchies, known: None, remembered: HashMap::new() }
    }

    /// The innermost container that a cgroup is, or is in, by the cgroup's path as records have it; `None` outside of
    /// containers. A pod alone is none.
    pub(super) fn of_cgroup(&mut self, path: &str) -> Option<&Container> {
        self.find(path).map(|(_, container)| container)
    }

    /// The same, with the path of the container's own cgroup.
    pub(super) fn holding(&mut self, path: &str) -> Option<(String, &Container)> {
        self.find(path).map(|(folder, container)| (escape(folder.as_os_str().as_bytes()), container))
    }

    /// Whether the container that a cgroup is in is known by more than its id, so far as it is in one. What is not is asked for anew
    /// the next time.
    pub(super) fn is_named(&mut self, path: &str) -> bool {
        let Some((folder, container)) = self.find(path) else { return true };
        let is_named = container.name.is_some() || container.pod.is_some();
        if !is_named {
            self.remembered.remove(&folder);
        }
        is_named
    }

    fn find(&mut self, path: &str) -> Option<(PathBuf, &Container)> {
        let path = PathBuf::from(OsString::from_vec(unescape(path.as_bytes())));
        let labelled = |folder: &Path| label(folder).filter(|label| !label.is_pod);
        let (folder, label) = path.ancestors().find_map(|folder| Some((folder, labelled(folder)?)))?;
        if !self.remembered.contains_key(folder) {
            if self.remembered.len() >= MOST_REMEMBERED {
                self.remembered.clear();
            }
            let known = self.known.get_or_insert_with(|| KnownNames::read(&self.roots));
            let system = known.system();
            let maker = self
                .hierarchies
                .iter()
                .find_map(|hierarchy| maker(hierarchy, &hierarchy.folder_of(folder), system));
            let identity = container(&label, &names(known, &label, maker));
            self.remembered.insert(folder.to_owned(), identity);
        }
        self.remembered.get(folder).map(|container| (folder.to_owned(), container))
    }
}

/// The names of a container whose cgroup `maker`, or only root, can have made.
pub(super) fn names(known: &mut KnownNames, label: &Label, maker: Option<u32>) -> Names {
    if is_id(&label.id) { known.of(&label.id, maker.unwrap_or(known.system())) } else { Names::default() }
}

/// The user who can have made a cgroup of this name: who owns a folder above it. `None` where only root can.
///
/// The folder's own owner does not say: engines give it to the container's root.
pub(super) fn maker(hierarchy: &Hierarchy, folder: &Path, system: u32) -> Option<u32> {
    let above: Vec<&Path> =
        folder.ancestors().skip(1).take_while(|folder| folder.starts_with(&hierarchy.mount)).collect();
    let owners = above.iter().rev().map_while(|folder| fs::symlink_metadata(folder).ok());
    owners.map(|folder| folder.uid()).find(|&uid| uid != system)
}
