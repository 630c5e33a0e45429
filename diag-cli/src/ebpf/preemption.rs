//! Whether this kernel disables preemption around programs, or a program has to do so itself.
//!
//! Up to 6.12 every tracepoint's call does (`__DO_TRACE`, include/linux/tracepoint.h). 6.13 takes that from those of system
//! calls, and gives it to what calls their programs (`__BPF_DECLARE_TRACE_SYSCALL`, include/trace/bpf_probe.h,
//! 4aadde89d81f). 7.x takes both away: tracepoints are protected by SRCU, and programs keep their CPU, but not from other
//! tasks. Since distributions backport, the kernel is asked: a program on a tracepoint of either kind reads how deep
//! preemption is disabled.

use std::fmt;

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::{
    Ebpf, EbpfLoader,
    maps::Array,
    programs::{ProgramError, RawTracePoint},
};
use diag_common::preemption::{DEPTH, KINDS, OTHER, SEEN, SYSTEM_CALL};
use rustix::process::{WaitOptions, getpid, waitpid};

use super::{elf::Image, layout, probes::one_line};
use crate::kernel::{
    btf::Btf,
    fields::{self, ABSENT, Resolved},
};

const PROBE: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/preemption-probe"));

/// Whether a program has to hold its CPU lest other tasks' runs of it be left out.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Preemption {
    /// The kernel disables preemption around every program.
    Disabled,
    /// It does not around programs on these tracepoints, and has functions by which they can.
    Held(&'static str),
    /// It has these functions, but does not say. Then programs use them: that costs 10 ns.
    Unknown(String),
    /// It has no such functions. No kernel is known that has none and needs them.
    NoFunctions,
}

impl Preemption {
    /// Asks the running kernel, by a probe with [`Probe::of`] its types, where it has functions to be used.
    pub(crate) fn ask<'a>(probe: Option<&'a Result<Probe>>, loader: &mut EbpfLoader<'a>) -> Preemption {
        match probe {
            None => Preemption::NoFunctions,
            Some(Ok(probe)) => judge(probe.measure(loader)),
            Some(Err(error)) => judge(Err(anyhow!("{error:#}"))),
        }
    }

    /// Whether programs disable preemption themselves.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, Preemption::Held(_) | Preemption::Unknown(_))
    }
}

impl fmt::Display for Preemption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Preemption::Disabled => f.write_str("the kernel disables it around programs"),
            Preemption::Held(on) => {
                write!(f, "programs disable it, because the kernel does not around those on {on}")
            }
            Preemption::Unknown(why) => {
                write!(f, "programs disable it, because it is not known whether the kernel does: {why}")
            }
            Preemption::NoFunctions => {
                f.write_str("programs do not disable it, because this kernel has no bpf_preempt_disable")
            }
        }
    }
}

/// What follows from what the programs noted, by the kind of tracepoint.
fn judge(noted: Result<[u32; KINDS as usize]>) -> Preemption {
    let noted = match noted {
        Ok(noted) => noted,
        Err(error) => return Preemption::Unknown(one_line(&format!("{error:#}"))),
    };
    let kinds = [(SYSTEM_CALL, "system calls"), (OTHER, "tracepoints")];
    for (kind, on) in kinds {
        let noted = noted[kind as usize];
        if noted & SEEN == 0 {
            return Preemption::Unknown(format!("the program on {on} was not run"));
        }
        if noted & DEPTH == 0 {
            return Preemption::Held(on);
        }
    }
    Preemption::Disabled
}

/// The programs, ready for the running kernel.
pub(crate) struct Probe {
    bytes: Vec<u8>,
    fields: Vec<Resolved>,
}

impl Probe {
    /// Where the kernel has functions by which programs can keep their CPU.
    pub(crate) fn of(types: &Btf) -> Option<Result<Probe>> {
        types.function_id("bpf_preempt_disable").map(|_| Probe::prepare(types))
    }

    fn prepare(types: &Btf) -> Result<Probe> {
        let image = Image::read(PROBE)?;
        let fields = fields::resolve(types, &layout::fields(|global| image.refers_to(global)))?;
        let known = |field: &Resolved| field.global != "PREEMPT_COUNT" || field.value != ABSENT;
        ensure!(fields.iter().all(known), "the kernel shows no preempt count");
        Ok(Probe { bytes: image.without_unused_maps(), fields })
    }

    /// Runs the programs once.
    fn measure<'a>(&'a self, loader: &mut EbpfLoader<'a>) -> Result<[u32; KINDS as usize]> {
        for field in &self.fields {
            loader.override_global(field.global, &field.value, true);
        }
        note(loader.load(&self.bytes)?)
    }
}

/// What they note.
fn note(mut ebpf: Ebpf) -> Result<[u32; KINDS as usize]> {
    for name in ["sys_enter", "sched_process_wait"] {
        let program = ebpf.program_mut(name).with_context(|| format!("there is no program {name}"))?;
        let program: &mut RawTracePoint = program.try_into()?;
        let attached = program.load().and_then(|()| program.attach(name).map(drop));
        attached.map_err(|error: ProgramError| anyhow!(error).context(format!("cannot trace {name}")))?;
    }
    // A system call that waits for a child, which this process is not of itself.
    let _ = waitpid(Some(getpid()), WaitOptions::NOHANG);
    let noted = Array::<_, u32>::try_from(ebpf.map("PREEMPTION").context("there is no map PREEMPTION")?)?;
    Ok([noted.get(&SYSTEM_CALL, 0)?, noted.get(&OTHER, 0)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_hold_their_cpu_where_the_kernel_does_not() {
        assert_eq!(judge(Ok([SEEN | 1, SEEN | 1])), Preemption::Disabled, "up to 6.12");
        assert_eq!(judge(Ok([SEEN | 1, SEEN | 2])), Preemption::Disabled);
        assert_eq!(judge(Ok([SEEN, SEEN])), Preemption::Held("system calls"));
        assert_eq!(judge(Ok([SEEN | 1, SEEN])), Preemption::Held("tracepoints"));
        assert!(!Preemption::Disabled.is_held() && !Preemption::NoFunctions.is_held());
    }

    #[test]
    fn in_doubt_they_hold_it() {
        assert!(Preemption::Held("system calls").is_held());
        assert!(judge(Ok([0, SEEN | 1])).is_held(), "a program that was not run says nothing");
        assert!(judge(Ok([SEEN | 1, 0])).is_held());
        let refused = judge(Err(anyhow!("not permitted\nand a log")));
        assert!(refused.is_held());
        assert!(refused.to_string().ends_with(": not permitted"), "{refused}");
    }
}
