//! Handing a session's target to the kernel side's filter.

use std::collections::HashSet;

use anyhow::{Context, Result};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use diag_common::scope::Scope;

use super::object::{Kernel, Value};
use crate::{exit::Failure, target::Target};

/// The globals for a target.
pub(crate) fn globals(target: &Target, kernel: &Kernel) -> Result<Vec<(&'static str, Value)>> {
    let scope = match target {
        Target::System => Scope::System,
        Target::Cgroup(_) | Target::Container(_) | Target::Unit(_) => Scope::Cgroup,
        Target::Pids(_) | Target::Command(_) => Scope::Processes,
        Target::Comm(_) => Scope::Comm,
    };
    let mut globals = vec![("SCOPE", Value::U32(scope as u32))];
    if let Some(cgroup) = target.cgroup() {
        globals.push(("SCOPE_SUBSYS", Value::U32(cgroup.hierarchy.subsystem(&kernel.types)?)));
        globals.push(("SCOPE_CGROUP", Value::U64(cgroup.id)));
        globals.push(("SCOPE_LEVEL", Value::U32(cgroup.level)));
    }
    if let Target::Comm(comm) = target {
        let mut name = [0; 16];
        let length = comm.len().min(15);
        name[..length].copy_from_slice(&comm[..length]);
        let half = |at: usize| u64::from_ne_bytes(std::array::from_fn(|i| name[at + i]));
        globals.push(("SCOPE_COMM_LOW", Value::U64(half(0))));
        globals.push(("SCOPE_COMM_HIGH", Value::U64(half(8))));
    }
    Ok(globals)
}

/// The processes that the kernel side follows. Their children join by themselves.
pub(crate) struct Followed(HashMap<MapData, u32, u8>);

impl Followed {
    /// Takes the map out of an object.
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Followed> {
        let map = ebpf.take_map("SCOPE_PIDS").context("the object has no map SCOPE_PIDS")?;
        Ok(Followed(HashMap::try_from(map)?))
    }

    /// Those that it follows now.
    pub(crate) fn pids(&self) -> HashSet<u32> {
        self.0.keys().flatten().collect()
    }

    /// Adds processes. [`Failure::Usage`] when there are more than can be followed.
    pub(crate) fn add(&mut self, pids: &[u32]) -> Result<()> {
        for pid in pids {
            self.0.insert(pid, 1, 0).map_err(|error| {
                Failure::Usage(format!(
                    "cannot follow {} processes: {error}; expected fewer, or a cgroup",
                    pids.len()
                ))
            })?;
        }
        Ok(())
    }
}
