//! Whether this process may trace at all, said before anything is tried.

use std::fs;

use anyhow::Result;
use rustix::{
    process::{Resource, Rlimit, setrlimit},
    thread::{CapabilitySet, capabilities},
};

use crate::exit::Failure;

const LOCKDOWN: &str = "/sys/kernel/security/lockdown";

/// [`Failure::Unsupported`] with the capability that is missing, and how to get it.
pub(crate) fn check() -> Result<()> {
    let has = capabilities(None)?.effective;
    let may_trace =
        has.contains(CapabilitySet::SYS_ADMIN) || has.contains(CapabilitySet::BPF | CapabilitySet::PERFMON);
    if !may_trace {
        return Err(Failure::Unsupported(
            "tracing needs CAP_BPF and CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8), which this user has not; run it as root"
                .into(),
        )
        .into());
    }
    Ok(())
}

/// Before 5.11 map memory counts against this limit, which is 64 KiB by default. Failing is fine where it does not.
pub(crate) fn lift_memlock_limit() {
    let unlimited = Rlimit { current: None, maximum: None };
    let _ = setrlimit(Resource::Memlock, unlimited);
}

/// What to tell somebody whom the kernel refused: lockdown is the one reason that no capability helps against.
pub(crate) fn refusal_hint() -> Option<&'static str> {
    let lockdown = fs::read_to_string(LOCKDOWN).ok()?;
    lockdown.contains("[confidentiality]").then_some(
        "this kernel is locked down (confidentiality), which forbids programs that read kernel memory; boot with lockdown=integrity or none",
    )
}
