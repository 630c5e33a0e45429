//! What must hold for the records of `osdiag lock`.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::record::{list, number};
use crate::report::Truth;

/// The waits for the lock are some of the workload's calls, and all of their time lies within them.
pub(crate) fn holds(summary: &Value, truth: &Truth) -> Result<()> {
    let locks = list(summary, "locks")?;
    let named: Vec<_> = locks.iter().filter(|lock| lock["name"] == truth.op.as_str()).collect();
    ensure!(
        !named.is_empty(),
        "no such lock among {:?}",
        locks.iter().map(|lock| &lock["name"]).collect::<Vec<_>>()
    );
    let total = |key: &str| named.iter().map(|lock| number(&lock["wait"], key)).sum::<Result<u64>>();
    let (waits, ns) = (total("count")?, total("sum_ns")?);
    ensure!(
        waits <= truth.count && ns <= truth.sum_ns,
        "{waits} waits of {ns} ns do not fit into {} calls of {} ns",
        truth.count,
        truth.sum_ns
    );
    // Of four that write one after the other, three wait; but under emulation much of a call's time is no waiting, and more so on a
    // busy machine.
    ensure!(4 * ns > truth.sum_ns, "only {ns} of {} ns are said to be waits", truth.sum_ns);
    Ok(())
}
