//! Files that say what containers are called, some of which unprivileged users write: read so that none of them can block
//! this process, fill its memory, or be another file than it seems.
//!
//! A link is followed only where root alone could have made it: in a folder that root owns and nobody else may write. From
//! the first other folder on no link and no mount is crossed. A file is opened without waiting; it must be a regular one of
//! the expected owner, and no longer than [`MOST`].

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, readlinkat};
use rustix::io::Errno;
use serde::de::DeserializeOwned;

use super::hierarchy::Roots;
use crate::kernel::mountinfo;
use crate::output::text::escape;

/// The longest file that is read, in bytes; the list of a machine with thousands of containers is shorter.
const MOST: u64 = 8 << 20;
/// How many links a path may lead through, as the kernel has it (`MAXSYMLINKS`, include/linux/namei.h, 6.18).
const MOST_LINKS: usize = 40;

/// The file system in which engines keep their state.
pub(super) struct StateRoot {
    folder: PathBuf,
    /// Who counts as root: the owner of that folder.
    system: u32,
    /// Where file systems are mounted whose server may never answer.
    served: Vec<PathBuf>,
}

/// A folder with state, and whose it is.
pub(super) struct StateFolder {
    fd: OwnedFd,
    path: PathBuf,
    /// Who owns it.
    pub(super) uid: u32,
    /// Whether only root could have shaped the way to what is in it.
    trusted: bool,
}

/// Why a file is not read, in one line. That something is not there is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

impl Refusal {
    fn new(path: &Path, why: &str) -> Refusal {
        Refusal(format!("{}: {why}", escape(path.as_os_str().as_bytes())))
    }

    fn of(path: &Path, error: Errno) -> Refusal {
        let why = match error {
            Errno::LOOP => "a link leads there".to_owned(),
            Errno::XDEV => "it is on another file system than its folder".to_owned(),
            Errno::NXIO => "it is no regular file".to_owned(),
            error => io::Error::from(error).to_string(),
        };
        Refusal::new(path, &why)
    }
}

/// What was found; `None` where there is nothing.
type Found<T> = Result<Option<T>, Refusal>;

impl StateRoot {
    pub(super) fn new(roots: &Roots) -> StateRoot {
        let mounts = mountinfo::read(&roots.proc.join("self/mountinfo")).unwrap_or_default();
        StateRoot {
            folder: roots.state.clone(),
            system: std::fs::metadata(&roots.state).map_or(0, |folder| folder.uid()),
            served: mounts.into_iter().filter(|m| is_served(&m.filesystem)).map(|m| m.point).collect(),
        }
    }

    /// Who counts as root.
    pub(super) fn system(&self) -> u32 {
        self.system
    }

    /// A folder of root's own state.
    pub(super) fn folder(&self, path: &Path) -> Found<StateFolder> {
        self.walk(path, true)
    }

    /// A folder that is somebody's home: none where its file system may never answer.
    pub(super) fn home(&self, path: &Path) -> Found<StateFolder> {
        self.walk(path, false)
    }

    /// Goes to a folder, through links as long as only root could have made them.
    fn walk(&self, path: &Path, through_served: bool) -> Found<StateFolder> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let open_root = || openat(CWD, &self.folder, flags | OFlags::DIRECTORY, Mode::empty());
        let mut here = match open_root() {
            Ok(fd) => StateFolder { fd, path: self.folder.clone(), uid: self.system, trusted: true },
            Err(error) => return absent(&self.folder, error),
        };
        let mut above = Vec::new();
        let mut ahead = parts(path);
        let mut links = 0;
        while let Some(part) = ahead.pop_front() {
            if part == ".." {
                here = above.pop().unwrap_or(here);
                continue;
            }
            let next = here.path.join(&part);
            if !through_served && self.served.contains(&next) {
                return Err(Refusal::new(&next, "its file system may not answer"));
            }
            let opened = match here.trusted {
                true => openat(&here.fd, &part, flags | OFlags::NOFOLLOW, Mode::empty()),
                false => open_untrusted(&here.fd, Path::new(&part), flags | OFlags::DIRECTORY),
            };
            let fd = match opened {
                Ok(fd) => fd,
                Err(error) => return absent(&next, error),
            };
            let stat = fstat(&fd).map_err(|error| Refusal::of(&next, error))?;
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => {
                    let trusted = here.trusted && stat.st_uid == self.system && stat.st_mode & 0o022 == 0;
                    let next = StateFolder { fd, path: next, uid: stat.st_uid, trusted };
                    above.push(std::mem::replace(&mut here, next));
                }
                FileType::Symlink if stat.st_uid == self.system && links < MOST_LINKS => {
                    links += 1;
                    let target =
                        readlinkat(&fd, "", Vec::new()).map_err(|error| Refusal::of(&next, error))?;
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    if target.is_absolute() && !above.is_empty() {
                        here = above.swap_remove(0);
                        above.clear();
                    }
                    ahead = parts(&target).into_iter().chain(ahead).collect();
                }
                FileType::Symlink => return Err(Refusal::of(&next, Errno::LOOP)),
                _ => return Ok(None),
            }
        }
        Ok(Some(here))
    }
}

impl StateFolder {
    /// Reads a file below this folder that must belong to `uid`.
    fn read(&self, path: &Path, uid: u32) -> Found<Vec<u8>> {
        let shown = self.path.join(path);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd = match open_untrusted(&self.fd, path, flags) {
            Ok(fd) => fd,
            Err(error) => return absent(&shown, error),
        };
        let stat = fstat(&fd).map_err(|error| Refusal::of(&shown, error))?;
        if let Some(why) = unfit(&stat, uid) {
            return Err(Refusal::new(&shown, &why));
        }
        let mut bytes = Vec::new();
        let read = File::from(fd).take(MOST + 1).read_to_end(&mut bytes);
        read.map_err(|error| Refusal::new(&shown, &error.to_string()))?;
        // It may have grown since.
        if bytes.len() as u64 > MOST { Err(Refusal::new(&shown, &too_long())) } else { Ok(Some(bytes)) }
    }

    /// Reads a file of JSON below this folder that must belong to `uid`.
    pub(super) fn json<T: DeserializeOwned>(&self, path: &Path, uid: u32) -> Found<T> {
        let Some(bytes) = self.read(path, uid)? else { return Ok(None) };
        // The parser's own words would quote what is in the file.
        let strange = |_| Refusal::new(&self.path.join(path), "it is not what a container engine writes");
        serde_json::from_slice(&bytes).map(Some).map_err(strange)
    }

    /// The names of what is in it.
    pub(super) fn names(&self) -> Vec<OsString> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let entries = openat(&self.fd, ".", flags, Mode::empty()).and_then(Dir::new);
        let names =
            entries.into_iter().flatten().flatten().map(|entry| entry.file_name().to_bytes().to_vec());
        let mut names: Vec<OsString> =
            names.filter(|name| name != b"." && name != b"..").map(OsString::from_vec).collect();
        names.sort_unstable();
        names
    }
}

/// Whether a file system's answers come from a process or another machine, which may never give them.
fn is_served(filesystem: &str) -> bool {
    let is = |names: &[&str]| names.contains(&filesystem);
    filesystem.starts_with("fuse") && filesystem != "fusectl"
        || is(&["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "coda", "autofs", "glusterfs"])
}

/// Opens without following a link or leaving the file system.
fn open_untrusted(folder: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let resolve = ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV
        | ResolveFlags::BENEATH;
    match openat2(folder, path, flags, Mode::empty(), resolve) {
        // Not before Linux 5.6, and not where a container's filter of system calls does not know it.
        Err(Errno::NOSYS | Errno::PERM) => open_part_by_part(folder, path, flags),
        opened => opened,
    }
}

/// The same where the kernel cannot do it at once.
fn open_part_by_part(folder: &OwnedFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    let device = fstat(folder)?.st_dev;
    let mut parts = parts(path);
    let last = parts.pop_back().ok_or(Errno::NOENT)?;
    let mut here = None;
    for part in &parts {
        let through = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        here = Some(openat(here.as_ref().unwrap_or(folder), part, through, Mode::empty())?);
    }
    let opened = openat(here.as_ref().unwrap_or(folder), &last, flags | OFlags::NOFOLLOW, Mode::empty())?;
    if fstat(&opened)?.st_dev == device { Ok(opened) } else { Err(Errno::XDEV) }
}

/// The names and `..` of a path.
fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        _ => None,
    });
    parts.map(OsStr::to_owned).collect()
}

fn absent<T>(path: &Path, error: Errno) -> Found<T> {
    match error {
        Errno::NOENT | Errno::NOTDIR => Ok(None),
        error => Err(Refusal::of(path, error)),
    }
}

/// What is wrong with an opened file.
fn unfit(stat: &Stat, uid: u32) -> Option<String> {
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        Some("it is no regular file".to_owned())
    } else if stat.st_uid != uid {
        Some(format!("it belongs to user {}, not {uid}", stat.st_uid))
    } else if stat.st_mode & 0o002 != 0 {
        Some("everybody may write it".to_owned())
    } else if stat.st_size.cast_unsigned() > MOST {
        Some(too_long())
    } else {
        None
    }
}

fn too_long() -> String {
    format!("it is longer than {} MiB", MOST >> 20)
}

#[cfg(test)]
mod tests;
