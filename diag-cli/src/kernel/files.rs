//! What a task has open, from procfs alone: nothing here asks the file's own file system, which may be what hangs.

use std::{collections::HashMap, fs, os::unix::ffi::OsStrExt as _, path::Path};

use super::{
    mountinfo::{self, MountEntry},
    mounts::device_of,
    procfs::Reader,
};
use crate::output::record::parties::Device;

/// An open file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenFile {
    /// What the descriptor is, as `/proc/PID/fd` shows it.
    pub(crate) path: Vec<u8>,
    /// The mount that it was opened on.
    pub(crate) mount: Option<Mount>,
}

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mount {
    /// The number of its device, `MAJOR:MINOR`.
    pub(crate) number: String,
    /// The block device; none where the file system has none, or more than one.
    pub(crate) device: Option<Device>,
    /// The file system's type.
    pub(crate) filesystem: String,
    /// Where it is mounted.
    pub(crate) point: Vec<u8>,
    /// What it was mounted from.
    pub(crate) source: Vec<u8>,
}

/// Looks files up; reads each process's mounts once.
#[derive(Default)]
pub(crate) struct Files {
    mounts: HashMap<u32, Vec<MountEntry>>,
}

impl Files {
    /// What the descriptor `fd` of the thread `tid` of process `pid` stands for.
    pub(crate) fn open(&mut self, pid: u32, tid: u32, fd: u64, reader: &mut Reader) -> Option<OpenFile> {
        let path = reader.descriptor(pid.cast_signed(), tid.cast_signed(), fd)?;
        let info = fs::read_to_string(format!("/proc/{pid}/task/{tid}/fdinfo/{fd}")).unwrap_or_default();
        let id = info.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse::<u64>().ok());
        let mount = id.and_then(|id| self.of(pid).iter().find(|mount| mount.id == id)).map(Mount::from);
        Some(OpenFile { path, mount })
    }

    /// The mount of this process's own that `path` is on.
    pub(crate) fn holding(&mut self, path: &Path) -> Option<Mount> {
        mountinfo::holding(self.of(std::process::id()), path).map(Mount::from)
    }

    /// Where this process itself sees the file system that is mounted there for another, which may be in another mount namespace;
    /// none where it does not.
    pub(crate) fn own_point(&mut self, mount: &Mount) -> Option<Vec<u8>> {
        let own = self.of(std::process::id());
        let is_seen = |entry: &&MountEntry| {
            mountinfo::holding(own, &entry.point).is_some_and(|holding| holding.id == entry.id)
        };
        let same = own.iter().filter(|entry| entry.device == mount.number).filter(is_seen);
        let points: Vec<&[u8]> = same.map(|entry| entry.point.as_os_str().as_bytes()).collect();
        let known = points.iter().find(|point| **point == mount.point).or(points.first());
        known.map(|point| point.to_vec())
    }

    /// Whether a process sees a file system of such a type.
    pub(crate) fn has_any(&mut self, pid: u32, is_such: impl Fn(&str) -> bool) -> bool {
        self.of(pid).iter().any(|mount| is_such(&mount.filesystem))
    }

    fn of(&mut self, pid: u32) -> &[MountEntry] {
        let read = || mountinfo::read(Path::new(&format!("/proc/{pid}/mountinfo"))).unwrap_or_default();
        self.mounts.entry(pid).or_insert_with(read)
    }
}

impl From<&MountEntry> for Mount {
    fn from(mount: &MountEntry) -> Mount {
        Mount {
            number: mount.device.clone(),
            device: device_of(mount),
            filesystem: mount.filesystem.clone(),
            point: mount.point.as_os_str().as_bytes().to_vec(),
            source: mount.source.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd as _};

    use super::*;

    #[test]
    fn an_open_file_has_its_path_and_its_mount() {
        let file = File::open("/proc/version").unwrap();
        let pid = std::process::id();
        let open = Files::default().open(pid, pid, file.as_raw_fd() as u64, &mut Reader::default()).unwrap();
        assert_eq!(open.path, b"/proc/version");
        let mount = open.mount.unwrap();
        assert_eq!((mount.filesystem.as_str(), mount.point.as_slice()), ("proc", &b"/proc"[..]));
        assert_eq!(mount.device, None);
    }

    #[test]
    fn a_mount_is_known_here_by_its_device() {
        let mut files = Files::default();
        let proc = files.holding(Path::new("/proc/1/stat")).unwrap();
        assert_eq!(files.own_point(&proc).as_deref(), Some(&b"/proc"[..]));
        // A container's root may be anywhere on the host, and no root of its.
        let elsewhere = Mount { point: b"/".to_vec(), ..proc.clone() };
        assert_eq!(files.own_point(&elsewhere).as_deref(), Some(&b"/proc"[..]));
        let unseen = Mount { number: "0:999999".into(), ..proc };
        assert_eq!(files.own_point(&unseen), None);
    }

    #[test]
    fn the_nearest_mount_holds_a_path() {
        let mut files = Files::default();
        assert_eq!(files.holding(Path::new("/proc/1/stat")).unwrap().point, b"/proc");
        assert_ne!(files.holding(Path::new("/process")).unwrap().point, b"/proc");
    }
}
