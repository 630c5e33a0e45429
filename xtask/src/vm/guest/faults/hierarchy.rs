//! Hierarchies of cgroups, version 1 or 2, and the cgroups that faults are made in.

use std::ffi::{CStr, CString};
use std::fmt;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::mount::{MountFlags, mount};

use crate::report::fault;

const ROOT: &str = "/sys/fs/cgroup";
/// Where one of version 1 is mounted beside version 2.
const BESIDE: &str = "/run/cgroup";

/// The controllers that faults need.
const CONTROLLERS: [(&str, &CStr); 2] = [("memory", c"memory"), ("cpu", c"cpu,cpuacct")];

/// A kernel cannot have a fault, and why.
#[derive(Debug)]
pub(super) struct Impossible(pub(super) String);

impl fmt::Display for Impossible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Impossible {}

/// How cgroups are mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hierarchy {
    One,
    Two,
}

impl Hierarchy {
    /// Mounts cgroups as this guest has them: version 2 unless it is for version 1.
    pub(crate) fn mount(guest: Option<&str>) -> Result<Self> {
        fs::create_dir_all(ROOT)?;
        if guest != Some(fault::V1) {
            attach(c"cgroup2", ROOT, None)?;
            if guest.is_some() {
                let file = format!("{ROOT}/cgroup.subtree_control");
                fs::write(&file, "+memory +cpu").with_context(|| format!("cannot write {file}"))?;
            }
            return Ok(Self::Two);
        }
        attach(c"tmpfs", ROOT, None)?;
        for (name, options) in CONTROLLERS {
            let place = format!("{ROOT}/{name}");
            fs::create_dir_all(&place)?;
            // A kernel may lack one, which is for its faults to say.
            if attach(c"cgroup", &place, Some(options)).is_err() {
                fs::remove_dir(&place)?;
            }
        }
        Ok(Self::One)
    }

    /// Mounts one of version 1 beside that of version 2, where the kernel has it.
    pub(crate) fn mount_beside() -> Result<()> {
        fs::create_dir_all(BESIDE)?;
        if let Err(error) = attach(c"cgroup", BESIDE, Some(c"cpu,cpuacct")) {
            eprintln!("init: {error:#}");
        }
        Ok(())
    }

    /// A new cgroup with this controller.
    pub(super) fn group(self, controller: &str) -> Result<Group> {
        let place = match self {
            Self::One => format!("{ROOT}/{controller}"),
            Self::Two => ROOT.to_owned(),
        };
        if !Path::new(&place).exists() {
            bail!(Impossible(format!("this kernel has no {controller} controller in version 1")));
        }
        let path = format!("{place}/target");
        fs::create_dir(&path).with_context(|| format!("cannot make {path}"))?;
        Ok(Group { path })
    }
}

fn attach(kind: &CStr, target: &str, options: Option<&CStr>) -> Result<()> {
    let source = CString::from(kind);
    mount(source.as_c_str(), target, kind, MountFlags::empty(), options)
        .with_context(|| format!("cannot mount {} at {target}", kind.to_string_lossy()))
}

/// A cgroup; it is removed when this is dropped.
pub(super) struct Group {
    pub(super) path: String,
}

impl Group {
    /// The path of one of its files.
    pub(super) fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// Writes one of its files.
    pub(super) fn set(&self, name: &str, value: &str) -> Result<()> {
        let file = self.file(name);
        fs::write(&file, value).with_context(|| format!("cannot write {value} to {file}"))
    }

    /// Removes it, once its last task has left.
    pub(super) fn remove(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = fs::remove_dir(&self.path) {
            if Instant::now() > deadline {
                return Err(error).with_context(|| format!("cannot remove {}", self.path));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if Path::new(&self.path).exists()
            && let Err(error) = self.remove()
        {
            eprintln!("init: {error:#}");
        }
    }
}
