//! What `osdiag delays` attaches, and with what settings.

use anyhow::Result;

use super::args::Args;
use crate::{
    ebpf::object::{Objects, Settings},
    session::KernelSide,
};

/// The kernel side.
pub(super) const KERNEL_SIDE: KernelSide = KernelSide {
    objects: Objects {
        btf: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/runq")),
        raw: aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/runq-raw")),
    },
    probes: &[],
    fields_read: &[],
    fields_missed: &[],
};

/// Map sizes for this machine, and what is to be told apart.
pub(super) fn settings(_args: &Args) -> Result<Settings> {
    Ok(Settings { globals: Vec::new(), entries: Vec::new() })
}
