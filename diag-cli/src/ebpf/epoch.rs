//! Epochs: which half of its maps an object writes, and when the other half is still.

use std::{thread, time::Duration};

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{Array, MapData},
};
use rustix::thread::{MembarrierCommand, membarrier};

use super::{clock, maps::take};

/// What a program of ours takes at most, many times over; for kernels that refuse the barrier.
const LONGER_THAN_ANY_PROGRAM: Duration = Duration::from_millis(20);

/// The epoch of an object; its parity says which half is written.
pub(crate) struct Epoch {
    map: Array<MapData, u32>,
    number: u32,
}

impl Epoch {
    /// Takes the map out of an object. The first epoch is 0.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Epoch> {
        Ok(Epoch { map: take(ebpf, "EPOCH")?, number: 0 })
    }

    /// The half that is being written, 0 or 1.
    pub(crate) fn parity(&self) -> u32 {
        self.number & 1
    }

    /// Begins the next epoch, and returns when that was, ns on the clock of [`clock::now`]. The half of the last one is
    /// still being written: see [`Epoch::ended`].
    pub(crate) fn turn(&mut self) -> Result<u64> {
        self.number += 1;
        self.map.set(0, self.number, 0)?;
        Ok(clock::now())
    }

    /// The half of the epoch before this one, once nobody writes it any more.
    pub(crate) fn ended(&self) -> u32 {
        wait_for_programs();
        self.parity() ^ 1
    }
}

/// Waits until every program that was running has ended. Programs on tracepoints run without preemption or inside an
/// RCU read-side section, and `MEMBARRIER_CMD_GLOBAL` is `synchronize_rcu` (kernel/sched/membarrier.c, 6.18).
fn wait_for_programs() {
    if membarrier(MembarrierCommand::Global).is_err() {
        thread::sleep(LONGER_THAN_ANY_PROGRAM);
    }
}
