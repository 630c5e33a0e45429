//! Who had the CPU while somebody waited for it.

use aya_ebpf::Global;
use diag_common::{
    runq::{Cpu, Half},
    runs::account::Account,
};

use super::cells;
use crate::runs;

/// Not 0 where waits are told apart by CPU, not by who waited.
#[unsafe(no_mangle)]
pub static BY_CPU: Global<u32> = Global::new(0);

/// Gives the time from `from` on, until the last run on `cpu` ended, to those who ran in it.
#[inline(never)]
pub fn settle(cpu: &Cpu, account: &Account, half: &mut Half, waiter: u32, from: u64) {
    runs::settle(&cpu.runs, account, from, &mut |runner, ns| cells::pair(half, waiter, runner, ns));
}
