//! The common keys of a built record, for tests.

use std::time::{Duration, SystemTime};

use super::{
    cost::SelfCost,
    host::Host,
    record::{Envelope, Kind, Probe, Target},
    time::Timestamp,
};

/// A complete summary of ten seconds of a whole system.
pub(crate) fn envelope() -> Envelope {
    let at = |seconds| Timestamp::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    Envelope {
        kind: Kind::Summary,
        host: Host {
            hostname: "db1".into(),
            boot_id: "b".into(),
            kernel: "6.18.0".into(),
            arch: "x86_64",
            hypervisor: "kvm".into(),
            cpus: 4,
        },
        start: at(1_700_000_000),
        end: at(1_700_000_010),
        duration_ns: 10_000_000_000,
        target: Target::System,
        probes: vec![Probe { name: "sched_switch".into(), hook: "tp_btf" }],
        unavailable: vec![],
        lost: [("events", 0), ("stacks", 0)].into(),
        cost: SelfCost { run_ns: 230_000_000, events: 1_642_345, cpu_ns: 61_000_000, rss_bytes: 14 << 20 },
    }
}
