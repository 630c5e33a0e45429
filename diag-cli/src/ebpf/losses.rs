//! What the kernel side lost.

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use diag_common::loss::Loss;

use super::maps::take;
use crate::output::record::Lost;

/// The counters of an object.
pub(crate) struct Losses {
    counters: PerCpuArray<MapData, u64>,
    before: Lost,
}

impl Losses {
    /// Takes the map out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Losses> {
        Ok(Losses { counters: take(ebpf, "LOSSES")?, before: Lost::default() })
    }

    /// What was lost since the last call, by [`Loss`].
    pub(crate) fn since_last(&mut self) -> Result<Lost> {
        let mut lost = Lost::default();
        for &loss in Loss::ALL {
            let now: u64 = self.counters.get(&(loss as u32), 0)?.iter().sum();
            let before = &mut self.before.0[loss as usize];
            lost.0[loss as usize] = now - *before;
            *before = now;
        }
        Ok(lost)
    }
}
