//! A systemd unit as a target: the folder that systemd made for it.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::Result;

use super::cgroup::{Cgroup, Place, choose, places, shortlist};
use super::hierarchy::Hierarchies;
use crate::exit::Failure;
use crate::output::text::escape;

/// A unit that holds others.
const SLICE: &str = ".slice";
/// The kinds of unit that have a cgroup (systemd.unit(5), systemd.resource-control(5)).
const SUFFIXES: [&str; 6] = [".service", SLICE, ".scope", ".socket", ".mount", ".swap"];

/// A unit that is active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Its name with its suffix.
    pub(crate) name: String,
    /// Its cgroup.
    pub(crate) cgroup: Cgroup,
}

impl Unit {
    /// Finds `--unit NAME`, a service where the name has no suffix; [`Failure::Usage`] if it is not there. A unit of
    /// the system comes before units of the same name that belong to users' own managers.
    pub(crate) fn find(hierarchies: &Hierarchies, wanted: &str) -> Result<Unit> {
        if wanted.is_empty() || wanted.contains('/') {
            let why = format!(
                "--unit {wanted}: expected the name of a systemd unit, such as nginx or system.slice"
            );
            return Err(Failure::Usage(why).into());
        }
        let has_suffix = SUFFIXES.iter().any(|suffix| wanted.ends_with(suffix));
        let name = if has_suffix { wanted.to_owned() } else { format!("{wanted}.service") };
        let what = format!("unit {name}");
        if name == "-.slice" {
            let roots: Vec<Place<'_>> =
                hierarchies.iter().map(|h| Place { hierarchy: h, folder: h.mount.clone() }).collect();
            return Ok(Unit { cgroup: choose(&roots, &what)?, name });
        }
        let found = places(hierarchies, |folder, _| {
            // As records show it, or as it stands.
            shown(folder) == name || folder.file_name().is_some_and(|file| file == name.as_str())
        });
        if found.is_empty() {
            return Err(Failure::Usage(missing(hierarchies, &name, wanted)).into());
        }
        let of_system: Vec<Place<'_>> = found.iter().filter(|p| !is_of_user(&p.path())).cloned().collect();
        let candidates = if of_system.is_empty() { &found } else { &of_system };
        Ok(Unit { cgroup: choose(candidates, &what)?, name })
    }
}

/// The cgroup of the innermost unit that a cgroup is, or is in, by its path as records have it. A slice holds other units:
/// what else is in it does not belong to it.
pub(super) fn cgroup_of(path: &str) -> Option<&str> {
    let is_unit = |folder: &str| SUFFIXES.iter().any(|suffix| folder.ends_with(suffix));
    if is_unit(path) {
        return Some(path);
    }
    let above = path.match_indices('/').rev().map(|(end, _)| &path[..end]);
    above.into_iter().find(|folder| is_unit(folder)).filter(|folder| !folder.ends_with(SLICE))
}

/// Whether a user's own manager made this cgroup.
fn is_of_user(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with("user@"))
}

/// The name of a folder, as records show it.
fn shown(folder: &Path) -> String {
    folder.file_name().map(|name| escape(name.as_bytes())).unwrap_or_default()
}

fn missing(hierarchies: &Hierarchies, name: &str, wanted: &str) -> String {
    let alike = places(hierarchies, |folder, _| {
        let file = shown(folder);
        file.contains(wanted) && SUFFIXES.iter().any(|suffix| file.ends_with(suffix))
    });
    let mut alike: Vec<String> = alike.iter().map(|place| shown(&place.folder)).collect();
    alike.sort_unstable();
    alike.dedup();
    let hint = if alike.is_empty() {
        "expected an active unit, see `systemctl`".to_owned()
    } else {
        format!("did you mean {}?", shortlist(&alike))
    };
    format!("no cgroup of a unit {name}: {hint}")
}
