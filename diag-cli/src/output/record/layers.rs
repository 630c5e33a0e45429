//! Time by layer.

use diag_common::cause::Layer;
use schemars::JsonSchema;
use serde::Serialize;

use crate::output::units::share;

/// How many layers there are.
pub(crate) const LAYERS: usize = Layer::ALL.len();

/// Time by layer; exclusive, so it adds up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Layers {
    /// Memory had to be made or waited for.
    memory: LayerTime,
    /// It waited for the file system's own locks, log or state.
    filesystem: LayerTime,
    /// It waited for a block request.
    block: LayerTime,
    /// An io_uring request waited for a worker, another request, or its owner.
    uring: LayerTime,
    /// It ran, or could have run.
    cpu: LayerTime,
    /// The virtual CPU itself was not running.
    hypervisor: LayerTime,
    /// It waited for a lock that belongs to no layer above.
    lock: LayerTime,
    /// It waited for a peer on a socket.
    network: LayerTime,
    /// It waited for another process.
    ipc: LayerTime,
    /// A signal, the freezer or a tracer stopped it.
    stopped: LayerTime,
    /// It had nothing to do.
    idle: LayerTime,
    /// None of these.
    other: LayerTime,
}

/// One layer's part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub(crate) struct LayerTime {
    /// Its time, ns.
    pub(crate) ns: u64,
    /// Its share of the time, 0 to 1.
    pub(crate) share: f64,
}

impl Layers {
    /// From times in ns in the order of [`Layer::ALL`].
    pub(crate) fn from_ns(ns: [u64; LAYERS]) -> Self {
        let total = ns.iter().sum();
        let [memory, filesystem, block, uring, cpu, hypervisor, lock, network, ipc, stopped, idle, other] =
            ns.map(|ns| LayerTime { ns, share: share(ns, total) });
        Self { memory, filesystem, block, uring, cpu, hypervisor, lock, network, ipc, stopped, idle, other }
    }

    /// One layer's part.
    pub(crate) fn get(&self, layer: Layer) -> LayerTime {
        match layer {
            Layer::Memory => self.memory,
            Layer::Filesystem => self.filesystem,
            Layer::Block => self.block,
            Layer::Uring => self.uring,
            Layer::Cpu => self.cpu,
            Layer::Hypervisor => self.hypervisor,
            Layer::Lock => self.lock,
            Layer::Network => self.network,
            Layer::Ipc => self.ipc,
            Layer::Stopped => self.stopped,
            Layer::Idle => self.idle,
            Layer::Other => self.other,
        }
    }

    /// The sum of all layers, ns.
    pub(crate) fn total_ns(&self) -> u64 {
        Layer::ALL.iter().map(|&layer| self.get(layer).ns).sum()
    }
}
