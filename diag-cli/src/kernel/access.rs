//! Which files of other tasks in `/proc` this process may read. Each needs more than tracing does, and is measured in
//! docs/privileges.md.

use std::path::Path;

use rustix::{
    process::geteuid,
    thread::{CapabilitySet, capabilities},
};

use crate::output::record::Unavailable;

/// Something that `/proc` says of other tasks, and not to everybody.
pub(crate) struct Restricted {
    /// What records call it in `unavailable`: part of the public interface.
    pub(crate) name: &'static str,
    /// The file in `/proc/PID`.
    file: &'static str,
    /// The option of a kernel that has it.
    option: &'static str,
    /// What it takes, besides being its owner.
    needs: &'static [(CapabilitySet, &'static str)],
}

const TRACES: (CapabilitySet, &str) = (CapabilitySet::SYS_PTRACE, "CAP_SYS_PTRACE");

/// Where a task sleeps (`proc_pid_stack`, fs/proc/base.c, 5.10 to 6.18).
pub(crate) const KERNEL_STACKS: Restricted = Restricted {
    name: "kernel-stacks",
    file: "stack",
    option: "CONFIG_STACKTRACE",
    needs: &[(CapabilitySet::SYS_ADMIN, "CAP_SYS_ADMIN"), TRACES],
};

/// Which system call a task is in (`proc_pid_syscall`, likewise).
pub(crate) const SYSTEM_CALLS: Restricted = Restricted {
    name: "system-calls",
    file: "syscall",
    option: "CONFIG_HAVE_ARCH_TRACEHOOK",
    needs: &[TRACES],
};

/// Both files belong to root, and have mode 0400.
const OWNED: &str = "CAP_DAC_READ_SEARCH";

impl Restricted {
    /// Whether this process may read it of every task.
    pub(crate) fn is_readable(&self) -> bool {
        self.unavailable("").is_none()
    }

    /// What the answer lacks without it; none where this process may read it of every task.
    pub(crate) fn unavailable(&self, effect: &str) -> Option<Unavailable> {
        let has = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
        let there = Path::new("/proc/self").join(self.file).exists();
        let why = self.why(has, geteuid().is_root(), there)?;
        Some(Unavailable { name: self.name.to_owned(), why, effect: effect.to_owned() })
    }

    fn why(&self, has: CapabilitySet, root: bool, there: bool) -> Option<String> {
        if !there {
            return Some(format!("the kernel has no {}", self.option));
        }
        let overrides = CapabilitySet::DAC_READ_SEARCH | CapabilitySet::DAC_OVERRIDE;
        let owned = (!root && !has.intersects(overrides)).then_some(OWNED);
        let lacking = self.needs.iter().filter(|(needed, _)| !has.contains(*needed)).map(|&(_, name)| name);
        let names: Vec<&str> = lacking.chain(owned).collect();
        let list = match &names[..] {
            [] => return None,
            [only] => (*only).to_owned(),
            [first @ .., last] => format!("{} and {last}", first.join(", ")),
        };
        Some(format!("/proc/PID/{} of other tasks needs {list}, which this user has not", self.file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let all = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
        let why = |of: &Restricted, has, root| of.why(has, root, true).unwrap_or_default();
        assert_eq!(
            (why(&KERNEL_STACKS, all, false), why(&SYSTEM_CALLS, all, false)),
            (String::new(), String::new())
        );
        let none = CapabilitySet::empty();
        assert_eq!(
            why(&KERNEL_STACKS, none, false),
            "/proc/PID/stack of other tasks needs CAP_SYS_ADMIN, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, which this user has not"
        );
        assert!(why(&SYSTEM_CALLS, none, true).contains("needs CAP_SYS_PTRACE, which"));
        assert_eq!(why(&SYSTEM_CALLS, CapabilitySet::SYS_PTRACE, true), "");
        assert!(why(&KERNEL_STACKS, CapabilitySet::SYS_PTRACE, true).contains("needs CAP_SYS_ADMIN, which"));
        assert!(KERNEL_STACKS.why(all, true, false).unwrap().contains("CONFIG_STACKTRACE"));
    }
}
