//! What the kernel side lost.

use anyhow::Result;
use aya::{
    Ebpf,
    maps::{MapData, PerCpuArray},
};
use diag_common::loss::Loss;

use super::maps::take;

/// The counters of an object.
pub(crate) struct Losses {
    counters: PerCpuArray<MapData, u64>,
    before: Vec<u64>,
}

impl Losses {
    /// Takes the map out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Losses> {
        Ok(Losses { counters: take(ebpf, "LOSSES")?, before: vec![0; Loss::ALL.len()] })
    }

    /// What was lost since the last call, by [`Loss`].
    pub(crate) fn since_last(&mut self) -> Result<Vec<u64>> {
        let mut lost = Vec::with_capacity(Loss::ALL.len());
        for (&loss, before) in Loss::ALL.iter().zip(&mut self.before) {
            let now = self.counters.get(&(loss as u32), 0)?.iter().sum();
            lost.push(now - *before);
            *before = now;
        }
        Ok(lost)
    }
}
