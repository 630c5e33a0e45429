//! Who had the CPU while somebody waited for it.

use aya_ebpf::Global;
use diag_common::runq::Half;

use super::cells;
use crate::runs;

/// Not 0 where waits are told apart by CPU, not by who waited.
#[unsafe(no_mangle)]
pub static BY_CPU: Global<u32> = Global::new(0);

impl runs::Count for Half {
    #[inline(always)]
    fn had(&mut self, waiter: u32, runner: u32, ns: u64) {
        cells::pair(self, waiter, runner, ns);
    }
}
