//! Who had each CPU, and when: what tells for whom a thread waited. Shared by `osdiag runq` and `osdiag delays`.

pub mod account;

/// Numbers of those who had a CPU and are no thread, or none that is known. Numbers of identities are larger.
pub mod who {
    /// Nobody.
    pub const IDLE: u32 = 1;
    /// Interrupts.
    pub const IRQ: u32 = 2;
    /// The hypervisor.
    pub const STEAL: u32 = 3;
    /// A thread whose identity found no room.
    pub const UNKNOWN: u32 = 4;
    /// The first number that an identity can have.
    pub const FIRST: u32 = 9;
}

/// The last runs that a CPU remembers one by one, a power of two; of who waited for more than these, the CPU's
/// [`account::Account`] says for whom.
pub const RING: usize = 128;

/// A run on a CPU: of one thread, or of several of one kind that followed each other.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Run {
    /// When it began, ns.
    pub start: u64,
    /// When it ended, ns.
    pub end: u64,
    /// Who ran.
    pub who: u64,
    /// Time of it in interrupts, ns.
    pub irq_ns: u64,
    /// Time of it that the hypervisor took, ns; with the other at most the whole.
    pub steal_ns: u64,
}

/// The run that goes on on a CPU.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Running {
    /// Who runs.
    pub who: u64,
    /// Since when, ns; 0 before the first switch.
    pub start: u64,
}

/// The runs on a CPU that have ended.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Ended {
    /// The last of them, one by one.
    pub ring: Ring,
    /// All of them, in sum.
    pub account: account::Account,
}

/// The last runs on a CPU.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Ring {
    /// How many runs have ended.
    pub ended: u64,
    /// The last of them.
    pub runs: [Run; RING],
}
