//! The kernel side of osdiag.
//!
//! Each tool is one module here and one object for each [`side::Side`]: `tp_btf` programs with task storage where
//! the kernel has both, and raw tracepoints with a hash where it has not. Both share every line of the tool.
#![no_std]
#![expect(
    clippy::not_unsafe_ptr_arg_deref,
    reason = "the verifier checks every access; an unsafe call would add nothing"
)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]

pub mod arch;
pub mod cells;
pub mod cgroups;
pub mod clock;
pub mod contention;
pub mod context;
pub mod delays;
pub mod epoch;
pub mod exclusive;
pub mod fields;
pub mod holder;
pub mod hung;
pub mod iolat;
pub mod iterator;
pub mod level;
pub mod lock;
pub mod loss;
pub mod memory;
pub mod preemption;
pub mod program;
pub mod quota;
pub mod request;
pub mod runnable;
pub mod runq;
pub mod runs;
pub mod scope;
pub mod side;
pub mod stack;
pub mod storage;
pub mod task;
pub mod vmexit;
pub mod who;
