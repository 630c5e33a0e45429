//! Kernel stacks that the kernel side kept, and the names of their functions.

use std::collections::HashMap;

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{HashMap as BpfHashMap, MapData},
};
use diag_common::stack::Stack;

use super::{maps::take, probes::ProbeSpec};
use crate::{kernel::symbols::Functions, output::record::Unavailable};

/// Where the kernel's own switching begins, which is at the inner end of every wait.
const SCHEDULER: &[&str] = &["__schedule", "schedule", "__traceiter_sched_switch", "preempt_schedule"];

/// Where the program and its tracepoint or function end in a stack that a task took of itself.
const PROGRAM: &[&str] = &["bpf_trace_run", "__bpf_trace_", "__traceiter_", "bpf_trampoline_"];

/// What is at the inner end of an object's stacks, and tells nobody anything.
#[derive(Clone, Copy)]
enum Inner {
    /// The kernel's own switching.
    Scheduler,
    /// The program itself, where a task took its own stack; it hangs on one of these.
    Program(&'static [ProbeSpec]),
}

/// The stacks of an object; each is read and named once.
pub(crate) struct Stacks {
    map: BpfHashMap<MapData, u32, Stack>,
    functions: Functions,
    named: HashMap<u32, Vec<String>>,
    inner: Inner,
}

impl Stacks {
    /// Takes the map out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Stacks> {
        Ok(Stacks {
            map: take(ebpf, "STACKS")?,
            functions: Functions::default(),
            named: HashMap::new(),
            inner: Inner::Scheduler,
        })
    }

    /// The same of an object that takes stacks elsewhere than in a switch.
    pub(crate) fn of_callers(ebpf: &mut Ebpf, probes: &'static [ProbeSpec]) -> Result<Stacks> {
        Ok(Stacks { inner: Inner::Program(probes), ..Stacks::of(ebpf)? })
    }

    /// A stack's functions, innermost first, from where the task went to sleep or met the tracepoint; none where it was
    /// not stored or has no names.
    pub(crate) fn functions(&mut self, number: u32) -> &[String] {
        if number == 0 {
            return &[];
        }
        if !self.named.contains_key(&number) {
            let functions = self.name(number);
            self.named.insert(number, functions);
        }
        &self.named[&number]
    }

    /// What the records lack where functions have no names.
    pub(crate) fn unavailable(&self, effect: &str) -> Option<Unavailable> {
        self.functions.unavailable(effect)
    }

    fn name(&mut self, number: u32) -> Vec<String> {
        let Ok(frames) = self.map.get(&number, 0) else { return Vec::new() };
        let mut functions = self.functions.of(&frames);
        self.inner.cut(&mut functions);
        functions
    }
}

impl Inner {
    /// Takes it off a stack. One taken by the task itself begins inside the program and the tracepoint or trampoline.
    fn cut(self, functions: &mut Vec<String>) {
        let is_inner = |name: &String| match self {
            Inner::Scheduler => SCHEDULER.contains(&name.as_str()),
            Inner::Program(_) => PROGRAM.iter().any(|start| name.starts_with(start)),
        };
        if let Some(last) = functions.iter().rposition(is_inner) {
            functions.drain(..=last);
        } else if let Inner::Program(probes) = self {
            // Where net.core.bpf_jit_kallsyms is 0, programs and trampolines have no names, or that of a module before them.
            let is_probed =
                |name: &String| probes.iter().any(|probe| probe.is_function() && probe.name == name.as_str());
            let probed = functions.iter().position(is_probed).unwrap_or(0);
            functions.drain(..probed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ebpf::probes::{essential, function};

    fn cut(inner: Inner, stack: &str) -> String {
        let mut functions = stack.split(' ').map(str::to_owned).collect();
        inner.cut(&mut functions);
        functions.join(" ")
    }

    #[test]
    fn a_stack_begins_outside_of_the_program_that_took_it() {
        const PROBES: &[ProbeSpec] =
            &[essential("end"), function("rwsem_down", "end", "writers are not seen")];
        let cut_program = |stack| cut(Inner::Program(PROBES), stack);
        let by_tracepoint =
            "0xffffffffc03a9cb4 bpf_trace_run2 __traceiter_end rwsem_down down_write vfs_unlink";
        assert_eq!(cut_program(by_tracepoint), "rwsem_down down_write vfs_unlink");
        assert_eq!(
            cut_program("bpf_prog_1f_x bpf_trampoline_6442 rwsem_down vfs_unlink"),
            "rwsem_down vfs_unlink"
        );
        assert_eq!(
            cut_program("0xffffffffc03a9cb4 0x1 rwsem_down 0x2 vfs_unlink"),
            "rwsem_down 0x2 vfs_unlink"
        );
        assert_eq!(cut_program("fini fini fini rwsem_down vfs_unlink"), "rwsem_down vfs_unlink");
        assert_eq!(cut_program("end vfs_unlink"), "end vfs_unlink");
        assert_eq!(cut(Inner::Scheduler, "__schedule schedule io_schedule"), "io_schedule");
    }
}
