//! Reading what the kernel side counted.

use anyhow::Result;

use super::{args::Args, harvest::Harvest};
use crate::{
    ebpf::{clock, object::Object},
    output::record::Unavailable,
    target::Target,
};

/// The maps of a loaded object.
pub(crate) struct Collector;

impl Collector {
    /// Takes the maps out of `object`.
    pub(crate) fn open(_args: &Args, _target: &Target, _object: &mut Object) -> Result<Collector> {
        Ok(Collector)
    }

    /// Ends a stretch of time, and returns when that was.
    pub(crate) fn turn(&mut self) -> Result<u64> {
        Ok(clock::now())
    }

    /// What is to be done every now and then.
    pub(crate) fn poll(&mut self) {}

    /// Takes everything that was counted up to the last turn.
    pub(crate) fn harvest(&mut self) -> Result<Harvest> {
        Ok(Harvest::default())
    }

    /// Why counts may have been read while programs still wrote them.
    pub(crate) fn unsettled(&self) -> Option<Unavailable> {
        None
    }
}
