//! Control groups, in a v1 hierarchy or in the unified one.

use std::{
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Lab, wait_until};
use crate::{Outcome, Skip};

/// A cgroup; its processes are killed and it is removed when this is dropped.
pub(crate) struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// A new cgroup in the v1 hierarchy of one controller.
    pub(crate) fn v1(lab: &Lab, controller: &str) -> Outcome<Cgroup> {
        let mount =
            mount_point(|kind, options| kind == "cgroup" && options.split(',').any(|o| o == controller));
        let mount = mount.ok_or_else(|| Skip::because(format!("no v1 hierarchy of {controller}")))?;
        Cgroup::make(mount.join(lab.name()))
    }

    /// A new cgroup in the unified (v2) hierarchy.
    pub(crate) fn v2(lab: &Lab) -> Outcome<Cgroup> {
        let mount = mount_point(|kind, _| kind == "cgroup2");
        Cgroup::make(mount.ok_or_else(|| Skip::because("no cgroup2 mount"))?.join(lab.name()))
    }

    /// A new cgroup in the hierarchy of a controller, of whichever version that is.
    pub(crate) fn of(lab: &Lab, controller: &str) -> Outcome<Cgroup> {
        Cgroup::v1(lab, controller).or_else(|_| Cgroup::v2(lab))
    }

    /// A cgroup below this one.
    pub(crate) fn child(&self, name: &str) -> Outcome<Cgroup> {
        Cgroup::make(self.path.join(name))
    }

    fn make(path: PathBuf) -> Outcome<Cgroup> {
        match fs::create_dir(&path) {
            Ok(()) => Ok(Cgroup { path }),
            // As in a container: the hierarchy is somebody else's.
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
                Err(Skip::because(format!("{}: {error}", path.display())))
            }
            Err(error) => panic!("{}: {error}", path.display()),
        }
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The name of its directory.
    pub(crate) fn name(&self) -> String {
        self.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Its number: the inode of its directory.
    pub(crate) fn id(&self) -> u64 {
        fs::metadata(&self.path).expect("a cgroup has an inode").ino()
    }

    /// Writes one of its files, which is there where the hierarchy has the controller.
    pub(crate) fn set(&self, file: &str, value: &str) -> Outcome {
        let path = self.present(file)?;
        fs::write(&path, value).unwrap_or_else(|error| panic!("{} = {value}: {error}", path.display()));
        Ok(())
    }

    /// Writes one of its files while something is taken down, when complaints help no more.
    pub(crate) fn release(&self, file: &str, value: &str) {
        if let Err(error) = fs::write(self.path.join(file), value) {
            eprintln!("{}/{file} = {value}: {error}", self.path.display());
        }
    }

    /// Reads one of its files, which is there where the hierarchy has the controller.
    pub(crate) fn get(&self, file: &str) -> Outcome<String> {
        let path = self.present(file)?;
        Ok(fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    fn present(&self, file: &str) -> Outcome<PathBuf> {
        let path = self.path.join(file);
        if path.exists() { Ok(path) } else { Err(Skip::because(format!("no {}", path.display()))) }
    }

    /// The number beside a word in one of its files; not every kernel has every word.
    pub(crate) fn stat(&self, file: &str, word: &str) -> Outcome<u64> {
        self.get(file)?
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(name, _)| *name == word)
            .map(|(_, value)| value.trim().parse().expect("a statistic is a number"))
            .ok_or_else(|| Skip::because(format!("{}/{file} has no {word}", self.path.display())))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.path);
    }
}

fn mount_point(matches: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    mounts.lines().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (path, kind, options) = (words.next()?, words.next()?, words.next()?);
        matches(kind, options).then(|| PathBuf::from(path))
    })
}

fn remove(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove(&entry.path());
        }
    }
    let gone = wait_until(Duration::from_secs(5), || {
        let processes = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        for process in processes.lines().filter_map(|line| line.parse().ok()) {
            // SAFETY: kill takes two numbers; the process is in a cgroup that this lab has made.
            unsafe { libc::kill(process, libc::SIGKILL) };
        }
        fs::remove_dir(path).is_ok() || !path.exists()
    });
    if !gone {
        eprintln!("could not remove {}", path.display());
    }
}

/// Removes the cgroups of a lab by its name, in every hierarchy.
pub(crate) fn remove_all(lab: &str) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        if let (Some(mount), Some("cgroup" | "cgroup2")) = (words.next(), words.next()) {
            let path = Path::new(mount).join(lab);
            if path.exists() {
                remove(&path);
            }
        }
    }
}
