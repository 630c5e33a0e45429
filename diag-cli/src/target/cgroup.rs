//! A cgroup as a target: found by its path or its id, in whichever hierarchy has it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use rustix::fs::{AtFlags, Mode, OFlags, fstat, open, statat};
use rustix::io::Errno;

use super::hierarchy::{Hierarchies, Hierarchy, Kind};
use crate::exit::Failure;
use crate::output::text::{escape, unescape};

/// A cgroup that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cgroup {
    /// Its path within the hierarchy: `/system.slice/nginx.service`.
    pub(crate) path: String,
    /// Its id: the inode number of its folder, which is also what the kernel side reads from `kernfs_node.id`.
    pub(crate) id: u64,
    /// How many levels the hierarchy's root is above it.
    pub(crate) level: u32,
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// The hierarchy that it belongs to, which has a controller or is the unified one.
    pub(crate) hierarchy: Hierarchy,
}

impl Cgroup {
    /// Finds `--cgroup PATH|ID`; [`Failure::Usage`] if there is none, or several.
    pub(crate) fn find(hierarchies: &Hierarchies, wanted: &str) -> Result<Cgroup> {
        let here = std::env::current_dir().ok();
        Cgroup::find_from(hierarchies, wanted, here.as_deref())
    }

    /// The same, where a relative path counts from `here`.
    pub(super) fn find_from(hierarchies: &Hierarchies, wanted: &str, here: Option<&Path>) -> Result<Cgroup> {
        if let Ok(id) = wanted.parse::<u64>() {
            let places = places(hierarchies, |_, inode| inode == id);
            if !places.is_empty() {
                return choose(&places, &format!("cgroup {id}"));
            }
        }
        let places: Vec<Place<'_>> = if wanted.starts_with('/') {
            match absolute(hierarchies, wanted) {
                Some(place) => vec![place],
                None => hierarchies.iter().filter_map(|h| below(h, wanted)).collect(),
            }
        } else {
            vec![relative(hierarchies, wanted, here)?]
        };
        if places.is_empty() {
            let accepted = hierarchies.accepted();
            return Err(Failure::Usage(format!("no cgroup '{wanted}': {accepted}")).into());
        }
        // A path that names a hierarchy without a controller means the same path in one that has a controller.
        let nameless = |p: &Place<'_>| matches!(p.hierarchy.kind, Kind::Named(_));
        if places.iter().all(nameless) {
            let path = places[0].path();
            let twins: Vec<Place<'_>> =
                hierarchies.iter().filter_map(|h| below(h, &path)).filter(|p| !nameless(p)).collect();
            return choose(if twins.is_empty() { &places } else { &twins }, &format!("cgroup {wanted}"));
        }
        choose(&places, &format!("cgroup {wanted}"))
    }
}

/// Holds on to a cgroup, which may get another name (v1) or be removed.
pub(super) struct Kept(Option<OwnedFd>);

impl Kept {
    /// Takes hold of a cgroup; of one that is gone already, it knows that.
    pub(super) fn new(cgroup: &Cgroup) -> Kept {
        let folder = open(&cgroup.folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        Kept(folder.ok().filter(|folder| fstat(folder).is_ok_and(|stat| stat.st_ino == cgroup.id)))
    }

    /// Whether the cgroup was removed. Each one has this file, and loses its files when it is removed (`kernfs_remove`,
    /// fs/kernfs/dir.c, 6.18).
    pub(super) fn removed(&self) -> bool {
        let is_missing = |folder| {
            let looked = statat(folder, "cgroup.procs", AtFlags::empty());
            looked.is_err_and(|error| matches!(error, Errno::NOENT | Errno::NODEV))
        };
        self.0.as_ref().is_none_or(is_missing)
    }
}

/// A folder of a hierarchy.
#[derive(Clone, Debug)]
pub(super) struct Place<'a> {
    pub(super) hierarchy: &'a Hierarchy,
    pub(super) folder: PathBuf,
}

impl Place<'_> {
    pub(super) fn path(&self) -> String {
        self.hierarchy.path_of(&self.folder)
    }
}

/// The folders, in all hierarchies, that a condition on path and inode number selects.
pub(super) fn places(hierarchies: &Hierarchies, wanted: impl Fn(&Path, u64) -> bool) -> Vec<Place<'_>> {
    let mut found = Vec::new();
    for hierarchy in hierarchies.iter() {
        let folders = hierarchy.folders().into_iter().filter(|(folder, inode)| wanted(folder, *inode));
        found.extend(folders.map(|(folder, _)| Place { hierarchy, folder }));
    }
    found
}

/// [`pick`]s one of the places; [`Failure::Usage`] if they have different paths, and so are different cgroups.
pub(super) fn choose(places: &[Place<'_>], what: &str) -> Result<Cgroup> {
    let mut paths: Vec<String> = places.iter().map(Place::path).collect();
    paths.sort_unstable();
    paths.dedup();
    if paths.len() > 1 {
        return Err(Failure::Usage(format!("{what} is ambiguous: {}", shortlist(&paths))).into());
    }
    pick(places, what)
}

/// The cgroup to look at when the same one has folders in several hierarchies: the first in order of preference in
/// which it has processes, else the first. [`Failure::Usage`] if no task can be selected by any of them.
pub(super) fn pick(places: &[Place<'_>], what: &str) -> Result<Cgroup> {
    let usable = || places.iter().filter(|p| !matches!(p.hierarchy.kind, Kind::Named(_)));
    let Some(place) = usable().find(|p| has_processes(&p.folder)).or_else(|| usable().next()) else {
        let hierarchies: Vec<&str> = places.iter().map(|p| p.hierarchy.label()).collect();
        return Err(Failure::Usage(format!(
            "{what} exists in {} alone, where no controller tells its tasks apart; select them with --pid or --comm",
            hierarchies.join(", ")
        ))
        .into());
    };
    let Some(level) = place.hierarchy.level_of(&place.folder) else {
        return Err(Failure::Unsupported(format!(
            "{what}: this container does not see how deep it is in the host's cgroups; run on the host, or with its \
             PID or cgroup namespace"
        ))
        .into());
    };
    let gone = |error: io::Error| Failure::Usage(format!("{what}: {}: {error}", place.folder.display()));
    Ok(Cgroup {
        path: place.path(),
        id: id_of(&place.folder).map_err(gone)?,
        level,
        folder: place.folder.clone(),
        hierarchy: place.hierarchy.clone(),
    })
}

/// A few of many, for an error of one line.
pub(super) fn shortlist(all: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = all[..all.len().min(SHOWN)].join(", ");
    if all.len() > SHOWN { format!("{shown} and {} more", all.len() - SHOWN) } else { shown }
}

/// A cgroup's id: the inode number of its folder (`kernfs_ino()`, include/linux/kernfs.h, 6.18).
pub(super) fn id_of(folder: &Path) -> io::Result<u64> {
    fs::metadata(folder).map(|m| m.ino())
}

/// Whether a process is in a cgroup or below it.
pub(super) fn has_processes(folder: &Path) -> bool {
    // v2 counts for itself, but for the root.
    if let Ok(events) = fs::read_to_string(folder.join("cgroup.events")) {
        return events.lines().any(|line| line == "populated 1");
    }
    if fs::read(folder.join("cgroup.procs")).is_ok_and(|procs| !procs.is_empty()) {
        return true;
    }
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).any(|e| has_processes(&e.path()))
}

/// The folder of an absolute path that leads into a mounted hierarchy.
fn absolute<'a>(hierarchies: &'a Hierarchies, wanted: &str) -> Option<Place<'a>> {
    let folder = spellings(wanted)
        .into_iter()
        .find_map(|path| fs::canonicalize(path).ok().filter(|folder| folder.is_dir()))?;
    Some(Place { hierarchy: hierarchies.holding(&folder)?, folder })
}

/// The paths that a text may mean: as records show them, escaped, or as it stands, which differs where a name has in it
/// what reads as an escape.
fn spellings(text: &str) -> [PathBuf; 2] {
    [OsString::from_vec(unescape(text.as_bytes())).into(), text.into()]
}

/// The folder of a path from the working directory. [`Failure::Usage`] where that is in no mounted hierarchy, or has no
/// such folder.
fn relative<'a>(hierarchies: &'a Hierarchies, wanted: &str, here: Option<&Path>) -> Result<Place<'a>> {
    let folder = here.filter(|here| !wanted.is_empty() && hierarchies.holding(here).is_some());
    let place =
        folder.and_then(|here| absolute(hierarchies, &escape(here.join(wanted).as_os_str().as_bytes())));
    if let Some(place) = place {
        return Ok(place);
    }
    let why = match (folder, here) {
        _ if wanted.parse::<u64>().is_ok() => String::new(),
        (Some(here), _) => format!("there is no such folder in {}; ", here.display()),
        (None, Some(here)) => format!(
            "a relative path counts from the working directory, and {} is in no cgroup hierarchy; ",
            here.display()
        ),
        (None, None) => {
            "a relative path counts from the working directory, which cannot be read; ".to_owned()
        }
    };
    Err(Failure::Usage(format!("no cgroup '{wanted}': {why}{}", hierarchies.accepted())).into())
}

/// The folder of a path from a hierarchy's root.
fn below<'a>(hierarchy: &'a Hierarchy, path: &str) -> Option<Place<'a>> {
    spellings(path.trim_start_matches('/')).iter().find_map(|path| folder_below(hierarchy, path))
}

fn folder_below<'a>(hierarchy: &'a Hierarchy, path: &Path) -> Option<Place<'a>> {
    if path.components().any(|part| part == Component::ParentDir) {
        return None;
    }
    // Of a hierarchy whose root is not what is mounted, `/proc/PID/cgroup` shows the path from the root all the same.
    let full = path.strip_prefix(hierarchy.root.trim_start_matches('/')).ok();
    let folders =
        full.into_iter().chain([path]).map(|path| hierarchy.mount.join(path).components().collect());
    let folder = folders.into_iter().find(|folder: &PathBuf| folder.is_dir())?;
    Some(Place { hierarchy, folder })
}
