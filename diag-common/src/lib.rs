//! What crosses between the kernel side and the user side of osdiag.
//!
//! One module for each tool holds its map keys and values; [`cause`] and [`hist`] are shared by all of them.
//! Everything here is `#[repr(C)]`, without padding that is read, and the same on both sides.
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![cfg_attr(not(feature = "user"), no_std)]

pub mod calls;
pub mod cause;
pub mod cells;
pub mod cgroup;
pub mod contention;
pub mod delays;
pub mod hist;
pub mod hung;
pub mod iolat;
pub mod lock;
pub mod loss;
pub mod preemption;
pub mod quota;
pub mod runnable;
pub mod runq;
pub mod runs;
pub mod scope;
pub mod stack;
pub mod state;
pub mod threshold;
pub mod vmexit;
pub mod who;
