//! Getting an eBPF object into the kernel: which kind of hooks, with what layout, attached where, at what cost.

mod calls;
pub(crate) mod cells;
pub(crate) mod cgroups;
pub(crate) mod clock;
pub(crate) mod cost;
mod elf;
pub(crate) mod epoch;
pub(crate) mod hash;
mod knobs;
pub(crate) mod layout;
pub(crate) mod limits;
pub(crate) mod log;
pub(crate) mod losses;
pub(crate) mod maps;
pub(crate) mod object;
pub(crate) mod preemption;
pub(crate) mod privileges;
pub(crate) mod probes;
mod programs;
mod quiesce;
pub(crate) mod scope;
pub(crate) mod stacks;
pub(crate) mod states;
mod syscall;
pub(crate) mod who;
