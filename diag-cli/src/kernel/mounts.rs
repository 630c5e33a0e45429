//! Devices and mounted file systems, by the kernel's own device numbers.

use std::{
    ffi::OsStr,
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
};

use super::mountinfo::{self, MountEntry};
use crate::output::{record::parties::Device, text::escape};

/// Bits of the minor number in `dev_t` as the kernel keeps it (`MINORBITS`, include/linux/kdev_t.h, 6.18).
const MINOR_BITS: u32 = 20;

/// A device's number, `MAJOR:MINOR`.
pub(crate) fn number(dev: u32) -> String {
    format!("{}:{}", dev >> MINOR_BITS, dev & ((1 << MINOR_BITS) - 1))
}

/// The block device that a mounted file system is on; none where it has none, or is on several.
pub(crate) fn device_of(mount: &MountEntry) -> Option<Device> {
    match &devices_below(mount)[..] {
        [only] => Some(only.clone()),
        [] => device_numbered(&mount.device),
        _ => None,
    }
}

/// Where the kernel says which devices a btrfs is on: a folder each, named by its UUID (fs/btrfs/sysfs.c, 6.18).
const BTRFS: &str = "/sys/fs/btrfs";

/// The devices of a btrfs, whose own number is an anonymous one; none of others.
fn devices_below(mount: &MountEntry) -> Vec<Device> {
    let name = mount.source.strip_prefix(b"/dev/").map(OsStr::from_bytes);
    let Some(name) = name.filter(|_| mount.filesystem == "btrfs") else { return Vec::new() };
    // A link such as /dev/mapper/x has another name there.
    let target = fs::canonicalize(Path::new("/dev").join(name)).ok();
    let name = target.as_deref().and_then(Path::file_name).unwrap_or(name);
    let folders = fs::read_dir(BTRFS).into_iter().flatten().flatten();
    let own = folders.map(|folder| folder.path().join("devices")).find(|folder| folder.join(name).exists());
    let devices = own.and_then(|folder| fs::read_dir(folder).ok()).into_iter().flatten().flatten();
    let mut devices: Vec<Device> =
        devices.filter_map(|device| device_named(device.file_name().to_str()?)).collect();
    devices.sort();
    devices
}

/// The block device of this number, `MAJOR:MINOR`; none where there is none.
pub(crate) fn device_numbered(id: &str) -> Option<Device> {
    let link = fs::read_link(Path::new("/sys/dev/block").join(id)).ok()?;
    Some(Device { id: id.to_owned(), name: Some(escape(link.file_name()?.as_bytes())) })
}

/// The block device of this name.
pub(crate) fn device_named(name: &str) -> Option<Device> {
    let id = fs::read_to_string(Path::new("/sys/class/block").join(name).join("dev")).ok()?;
    Some(Device { id: id.trim_end().to_owned(), name: Some(name.to_owned()) })
}

/// The mounts that this process sees, read again when a device is unknown.
#[derive(Default)]
pub(crate) struct Mounts {
    all: Vec<MountEntry>,
}

impl Mounts {
    /// The file system of a device, by its type's name.
    pub(crate) fn filesystem(&mut self, dev: u32) -> Option<String> {
        self.of(dev).next().map(|mount| mount.filesystem.clone())
    }

    /// The device that a record names for `dev`: itself, or the devices that the btrfs with this number is on.
    pub(crate) fn device(&mut self, dev: u32) -> Device {
        let below = self.of(dev).next().map(devices_below).unwrap_or_default();
        match &below[..] {
            [] => {
                let id = number(dev);
                device_numbered(&id).unwrap_or(Device { id, name: None })
            }
            [only] => only.clone(),
            several => {
                let names: Vec<&str> = several.iter().map(Device::label).collect();
                Device { id: number(dev), name: Some(names.join("+")) }
            }
        }
    }

    /// Where `path`, from the root of the file system on `dev`, is seen; none where no mount shows it, or all that would are
    /// covered by others.
    pub(crate) fn locate(&mut self, dev: u32, path: &[u8]) -> Option<Vec<u8>> {
        let seen: Vec<(u64, PathBuf)> =
            self.of(dev).filter_map(|mount| Some((mount.id, seen_at(mount, path)?))).collect();
        let is_visible = |(id, seen): &(u64, PathBuf)| {
            mountinfo::holding(&self.all, seen).is_some_and(|holding| holding.id == *id)
        };
        seen.into_iter().find(is_visible).map(|(_, seen)| seen.into_os_string().into_vec())
    }

    /// The mounts of a device.
    fn of(&mut self, dev: u32) -> impl Iterator<Item = &MountEntry> {
        let number = number(dev);
        if !self.all.iter().any(|mount| mount.device == number) {
            self.all = mountinfo::read(Path::new("/proc/self/mountinfo")).unwrap_or_default();
        }
        self.all.iter().filter(move |mount| mount.device == number)
    }
}

/// Where a mount shows a path from its file system's root, if it does.
fn seen_at(mount: &MountEntry, path: &[u8]) -> Option<PathBuf> {
    let root = mount.root.strip_suffix(b"/").unwrap_or(&mount.root);
    let rest = path.strip_prefix(root)?;
    let below = if rest.is_empty() { rest } else { rest.strip_prefix(b"/")? };
    // Joining nothing would add a slash.
    Some(if below.is_empty() { mount.point.clone() } else { mount.point.join(OsStr::from_bytes(below)) })
}

#[cfg(test)]
mod tests {
    use std::os::linux::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn numbers_are_split_as_the_kernel_splits_them() {
        assert_eq!(number(254 << 20 | 1), "254:1");
        assert_eq!(number(45), "0:45");
    }

    #[test]
    fn a_file_is_found_where_it_is_mounted() {
        let st_dev = fs::metadata("/proc/self").unwrap().st_dev();
        let dev = (rustix::fs::major(st_dev) << MINOR_BITS) | rustix::fs::minor(st_dev);
        let mut mounts = Mounts::default();
        assert_eq!(mounts.filesystem(dev).as_deref(), Some("proc"));
        assert_eq!(mounts.locate(dev, b"/stat").as_deref(), Some(&b"/proc/stat"[..]));
        assert_eq!(mounts.filesystem(u32::MAX), None);
    }

    #[test]
    fn a_file_is_shown_where_it_can_be_seen() {
        let lines = [
            "20 1 8:1 / / rw - ext4 /dev/a rw",
            "21 20 0:5 / /b1 rw - tmpfs t rw",
            "22 20 0:5 /sub /b2 rw - tmpfs t rw",
            "24 21 0:6 / /b1 rw - tmpfs top rw",
            "25 20 0:7 / /m\\040sp rw - tmpfs sp rw",
        ];
        let all = lines.iter().filter_map(|line| mountinfo::parse(line.as_bytes())).collect();
        let mut mounts = Mounts { all };
        let mut locate = |dev, path: &str| {
            mounts.locate(dev, path.as_bytes()).map(|seen| String::from_utf8(seen).unwrap())
        };
        assert_eq!(locate(5, "/sub/f").as_deref(), Some("/b2/f"));
        assert_eq!(locate(5, "/sub").as_deref(), Some("/b2"));
        assert_eq!(locate(5, "/other"), None, "it is below the cover of /b1");
        assert_eq!(locate(5, "/subway"), None);
        assert_eq!(locate(6, "/f").as_deref(), Some("/b1/f"));
        assert_eq!(locate(7, "/a b").as_deref(), Some("/m sp/a b"));
        assert_eq!(locate(8 << MINOR_BITS | 1, "/etc/passwd").as_deref(), Some("/etc/passwd"));
    }
}
