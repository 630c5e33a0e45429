//! Limits of cgroups, and what they hold of memory, as their files have it.

use std::{
    fs,
    path::{Path, PathBuf},
};

use schemars::JsonSchema;
use serde::Serialize;

/// A cgroup with this part of its limit in use is at it.
const FULL: f64 = 0.95;

/// A limit as a file of a cgroup has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum LimitFile {
    /// CPU time, of cgroup v2.
    #[serde(rename = "cpu.max")]
    CpuMax,
    /// CPU time, of v1.
    #[serde(rename = "cpu.cfs_quota_us")]
    CpuQuota,
    /// Memory, of v2.
    #[serde(rename = "memory.max")]
    MemoryMax,
    /// Memory, of v2: what goes beyond is slowed down.
    #[serde(rename = "memory.high")]
    MemoryHigh,
    /// Memory, of v1.
    #[serde(rename = "memory.limit_in_bytes")]
    MemoryLimit,
}

impl LimitFile {
    /// Of CPU time.
    pub(crate) const CPU: &[LimitFile] = &[LimitFile::CpuMax, LimitFile::CpuQuota];
    /// Of memory.
    pub(crate) const MEMORY: &[LimitFile] =
        &[LimitFile::MemoryMax, LimitFile::MemoryHigh, LimitFile::MemoryLimit];

    pub(crate) fn name(self) -> &'static str {
        match self {
            LimitFile::CpuMax => "cpu.max",
            LimitFile::CpuQuota => "cpu.cfs_quota_us",
            LimitFile::MemoryMax => "memory.max",
            LimitFile::MemoryHigh => "memory.high",
            LimitFile::MemoryLimit => "memory.limit_in_bytes",
        }
    }

    /// What a cgroup is allowed: CPUs, or bytes; none where it has no limit.
    pub(crate) fn read(self, folder: &Path) -> Option<f64> {
        let text = fs::read_to_string(folder.join(self.name())).ok()?;
        let period = || fs::read_to_string(folder.join("cpu.cfs_period_us")).ok();
        self.parse(&text, &period().unwrap_or_default())
    }

    fn parse(self, text: &str, period: &str) -> Option<f64> {
        let number = |text: &str| text.trim().parse::<f64>().ok();
        match self {
            LimitFile::CpuMax => {
                let (quota, period) = text.trim().split_once(' ')?;
                Some(number(quota)? / number(period)?)
            }
            LimitFile::CpuQuota => Some(number(text).filter(|quota| *quota > 0.0)? / number(period)?),
            LimitFile::MemoryMax | LimitFile::MemoryHigh => number(text),
            // Without a limit it is as large as a number of pages can be.
            LimitFile::MemoryLimit => number(text).filter(|bytes| *bytes < 2f64.powi(62)),
        }
    }
}

/// A limit of memory.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct MemoryLimit {
    pub(crate) file: LimitFile,
    /// The cgroup that has it.
    pub(crate) folder: PathBuf,
    pub(crate) bytes: f64,
    /// Whether as much is in use.
    pub(crate) full: bool,
}

/// The limit that holds a cgroup, its own or one above it, which `folders` has: one that is reached, or else the lowest.
pub(crate) fn of_memory(folders: &[PathBuf]) -> Option<MemoryLimit> {
    let each = folders.iter().flat_map(|folder| LimitFile::MEMORY.iter().map(move |file| (folder, *file)));
    let limits = each.filter_map(|(folder, file)| {
        let bytes = file.read(folder)?;
        let full = charged(folder).is_some_and(|used| used as f64 >= FULL * bytes);
        Some(MemoryLimit { file, folder: folder.clone(), bytes, full })
    });
    limits.min_by(|a, b| b.full.cmp(&a.full).then(a.bytes.total_cmp(&b.bytes)))
}

/// The memory that is charged to a cgroup, and to those below it, in bytes. Neither file makes the kernel flush statistics, but
/// that of the root of v1 (mm/memcontrol-v1.c, `mem_cgroup_usage`, 5.15).
pub(crate) fn charged(folder: &Path) -> Option<u64> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
    read("memory.current").or_else(|| read("memory.usage_in_bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_their_files_have_them() {
        let cases = [
            (LimitFile::CpuMax, "20000 100000\n", Some(0.2)),
            (LimitFile::CpuMax, "max 100000\n", None),
            (LimitFile::CpuQuota, "50000\n", Some(0.5)),
            (LimitFile::CpuQuota, "-1\n", None),
            (LimitFile::MemoryMax, "max\n", None),
            (LimitFile::MemoryHigh, "1048576\n", Some(1_048_576.0)),
            (LimitFile::MemoryLimit, "9223372036854771712\n", None),
            (LimitFile::MemoryLimit, "25165824\n", Some(25_165_824.0)),
        ];
        for (file, text, expected) in cases {
            assert_eq!(file.parse(text, "100000\n"), expected, "{file:?} {text}");
        }
    }

    #[test]
    fn the_limit_that_is_reached_holds_before_a_lower_one_that_is_not() {
        let top = tempfile::tempdir().unwrap();
        let own = top.path().join("own");
        fs::create_dir(&own).unwrap();
        let folders = [own.clone(), top.path().to_owned()];
        assert_eq!(of_memory(&folders), None);
        let write = |folder: &Path, limit: &str, used: &str| {
            fs::write(folder.join("memory.max"), limit).unwrap();
            fs::write(folder.join("memory.current"), used).unwrap();
        };
        write(&own, "100\n", "10\n");
        write(top.path(), "200\n", "150\n");
        assert_eq!(of_memory(&folders).map(|limit| (limit.bytes, limit.full)), Some((100.0, false)));
        write(top.path(), "200\n", "199\n");
        assert_eq!(of_memory(&folders).map(|limit| (limit.bytes, limit.full)), Some((200.0, true)));
        assert_eq!(charged(&own), Some(10));
    }
}
