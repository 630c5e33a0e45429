//! `/proc/PID/mountinfo` as bytes: where something is mounted, and by what name, a user may choose. The procfs crate reads
//! the file as UTF-8, so that one such name hides all mounts, and leaves escapes in the paths.

use std::{
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt as _,
    path::{Path, PathBuf},
};

use crate::output::text::escape;

/// A mounted file system (Documentation/filesystems/proc.rst, 3.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MountEntry {
    /// The mount's number, which `fdinfo` shows as `mnt_id`.
    pub(crate) id: u64,
    /// The number of the mount that it is mounted on.
    pub(crate) parent: u64,
    /// The number of its device, `MAJOR:MINOR`.
    pub(crate) device: String,
    /// Which of the file system's folders is mounted.
    pub(crate) root: Vec<u8>,
    /// Where it is mounted.
    pub(crate) point: PathBuf,
    /// The file system's type, [`escape`]d: a FUSE server chooses what follows `fuse.`.
    pub(crate) filesystem: String,
    /// What it was mounted from.
    pub(crate) source: Vec<u8>,
    /// The file system's own options.
    pub(crate) options: Vec<u8>,
}

/// The mounts in a file such as `/proc/self/mountinfo`; a line that is none is left out.
pub(crate) fn read(path: &Path) -> io::Result<Vec<MountEntry>> {
    Ok(fs::read(path)?.split(|&byte| byte == b'\n').filter_map(parse).collect())
}

/// The mount that `path` leads to, as the kernel walks it: from the root on, across each mount that stands in the way. What is
/// mounted below another mount's cover is not on it.
pub(crate) fn holding<'a>(mounts: &'a [MountEntry], path: &Path) -> Option<&'a MountEntry> {
    let nearest = |found: &mut dyn Iterator<Item = &'a MountEntry>| {
        // Of several at one place the last one is seen.
        let on_the_way = found.filter(|mount| path.starts_with(&mount.point));
        on_the_way.reduce(|best, mount| {
            if mount.point.as_os_str().len() <= best.point.as_os_str().len() { mount } else { best }
        })
    };
    let is_root =
        |mount: &MountEntry| mount.parent == mount.id || mounts.iter().all(|other| other.id != mount.parent);
    let mut at = nearest(&mut mounts.iter().filter(|mount| is_root(mount)))?;
    for _ in mounts {
        let mut children = mounts.iter().filter(|mount| mount.parent == at.id && mount.id != at.id);
        match nearest(&mut children) {
            Some(next) => at = next,
            None => break,
        }
    }
    Some(at)
}

/// One line, without its end.
pub(crate) fn parse(line: &[u8]) -> Option<MountEntry> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let parent = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = str::from_utf8(fields.next()?).ok()?.to_owned();
    let (root, point) = (unescape(fields.next()?), unescape(fields.next()?));
    // Optional fields end at a dash; a space in any of them would be escaped.
    fields.find(|field| field == b"-")?;
    let mut of_file_system = || fields.next().map(unescape);
    Some(MountEntry {
        id,
        parent,
        device,
        root,
        point: OsString::from_vec(point).into(),
        filesystem: escape(&of_file_system()?),
        source: of_file_system()?,
        options: of_file_system().unwrap_or_default(),
    })
}

/// Undoes the octal escapes (`\040`) of a field.
pub(crate) fn unescape(field: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let octal = after.get(..3).filter(|_| first == b'\\').and_then(|digits| str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            out.push(byte);
            rest = &after[3..];
        } else {
            out.push(first);
            rest = after;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt as _;

    use super::*;

    #[test]
    fn a_line_has_all_its_fields_whatever_the_optional_ones_are() {
        let line =
            b"41 31 0:37 /x /mnt/a\\040b rw,relatime shared:9 master:1 - fuse.sshfs h\\134ost: rw,user_id=0";
        let mount = parse(line).unwrap();
        assert_eq!((mount.id, mount.device.as_str(), mount.root.as_slice()), (41, "0:37", &b"/x"[..]));
        assert_eq!((mount.point.as_path(), mount.filesystem.as_str()), (Path::new("/mnt/a b"), "fuse.sshfs"));
        assert_eq!(
            (mount.source.as_slice(), mount.options.as_slice()),
            (&b"h\\ost:"[..], &b"rw,user_id=0"[..])
        );
        assert!(parse(b"31 23 0:28 / /sys rw - tmpfs tmpfs rw").is_some());
        assert_eq!(parse(b"garbage"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_path_is_on_the_mount_that_a_walk_comes_to() {
        let lines = [
            "20 1 8:1 / / rw - ext4 /dev/a rw",
            "21 20 0:5 / /b1 rw - tmpfs t rw",
            "22 20 0:5 /sub /b2 rw - tmpfs t rw",
            "23 21 8:2 / /b1/deep rw - ext4 /dev/b rw",
            // Covers both /b1 and what is below it.
            "24 21 0:6 / /b1 rw - tmpfs top rw",
            "25 24 8:3 / /b1/deep rw - ext4 /dev/c rw",
            "26 20 8:4 / /b3/x rw - ext4 /dev/d rw",
        ];
        let mounts: Vec<MountEntry> = lines.iter().filter_map(|line| parse(line.as_bytes())).collect();
        let id = |path: &str| holding(&mounts, Path::new(path)).map(|mount| mount.id);
        assert_eq!(id("/etc/passwd"), Some(20));
        assert_eq!(id("/b1/sub/f"), Some(24));
        assert_eq!(id("/b1/deep/f"), Some(25));
        assert_eq!(id("/b2/f"), Some(22));
        assert_eq!(id("/b22/f"), Some(20));
        assert_eq!(id("/b3/f"), Some(20));
        assert_eq!(id("/b3/x/f"), Some(26));
        assert_eq!(holding(&[], Path::new("/")), None);
    }

    #[test]
    fn a_name_that_is_no_text_hides_no_mount() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines = b"1 0 0:1 / /m\xff rw - fuse.\xfe\x1b s\xff rw\n2 0 0:2 / / rw - ext4 /dev/vda rw\n";
        fs::write(file.path(), lines).unwrap();
        let mounts = read(file.path()).unwrap();
        assert_eq!(mounts[0].point.as_os_str().as_bytes(), b"/m\xff");
        assert_eq!((mounts[0].filesystem.as_str(), mounts[1].id), ("fuse.\\xfe\\x1b", 2));
    }
}
