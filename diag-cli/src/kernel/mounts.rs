//! Devices and mounted file systems, by the kernel's own device numbers.

use std::{collections::HashMap, fs, os::unix::ffi::OsStrExt as _, path::Path};

use super::mountinfo::{self, MountEntry};
use crate::output::{record::parties::Device, text::escape};

/// Bits of the minor number in `dev_t` as the kernel keeps it (`MINORBITS`, include/linux/kdev_t.h, 6.18).
const MINOR_BITS: u32 = 20;

/// A device's number, `MAJOR:MINOR`.
pub(crate) fn number(dev: u32) -> String {
    format!("{}:{}", dev >> MINOR_BITS, dev & ((1 << MINOR_BITS) - 1))
}

/// A block device's name, such as `vda1`; none for the anonymous device of a file system without one.
pub(crate) fn device_name(dev: u32) -> Option<String> {
    let link = fs::read_link(Path::new("/sys/dev/block").join(number(dev))).ok()?;
    Some(escape(link.file_name()?.as_bytes()))
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
    known: HashMap<String, Vec<MountEntry>>,
}

impl Mounts {
    /// The file system of a device, by its type's name.
    pub(crate) fn filesystem(&mut self, dev: u32) -> Option<String> {
        self.of(dev).first().map(|mount| mount.filesystem.clone())
    }

    /// Where `path`, from the root of the file system on `dev`, is seen; none where no mount shows it.
    pub(crate) fn locate(&mut self, dev: u32, path: &[u8]) -> Option<Vec<u8>> {
        let below = |mount: &MountEntry| {
            let root = mount.root.strip_suffix(b"/").unwrap_or(&mount.root);
            let rest = path.strip_prefix(root)?;
            (rest.is_empty() || rest[0] == b'/').then(|| {
                let mut seen = mount.point.as_os_str().as_bytes().to_vec();
                if seen.last() == Some(&b'/') {
                    seen.pop();
                }
                seen.extend_from_slice(rest);
                seen
            })
        };
        self.of(dev).iter().find_map(below)
    }

    fn of(&mut self, dev: u32) -> &[MountEntry] {
        let number = number(dev);
        if !self.known.contains_key(&number) {
            self.known.clear();
            for mount in mountinfo::read(Path::new("/proc/self/mountinfo")).unwrap_or_default() {
                self.known.entry(mount.device.clone()).or_default().push(mount);
            }
        }
        self.known.get(&number).map_or(&[], Vec::as_slice)
    }
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
}
