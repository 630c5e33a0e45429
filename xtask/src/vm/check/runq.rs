//! What must hold for the records of `osdiag runq`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::record::{list, number};
use crate::report::Truth;

/// How far the waits may be from the scheduler's account. Its own look at itself, and the time from being on the queue to
/// being told of, lie between the two.
const TOLERANCE: f64 = 0.05;

/// The group of the workload's threads waited as long as the scheduler says, and no longer than anybody had the CPU.
pub(crate) fn holds(summary: &Value, truth: &Truth) -> Result<()> {
    let groups = list(summary, "groups")?;
    let group = groups
        .iter()
        .find(|group| group["group"]["comm"] == truth.op.as_str())
        .context("there is no such group")?;
    let waited = number(&group["delay"], "sum_ns")?;
    let queued = waited.saturating_sub(number(group, "wake_ns")?);
    let apart = queued.abs_diff(truth.sum_ns);
    ensure!(
        apart as f64 <= truth.sum_ns as f64 * TOLERANCE,
        "the record has {queued} ns of waiting on a queue, the scheduler {} ns",
        truth.sum_ns
    );
    let culprits = list(group, "culprits")?;
    let named = culprits.iter().map(|culprit| number(culprit, "ns")).sum::<Result<u64>>()?;
    ensure!(named <= waited, "{named} ns of culprits are more than {waited} ns of waiting");
    let own = culprits.iter().filter(|culprit| culprit["task"]["comm"] == truth.op.as_str());
    let own = own.map(|culprit| number(culprit, "ns")).sum::<Result<u64>>()?;
    ensure!(2 * own > waited, "they waited for each other, but only {own} of {waited} ns are said to be so");
    Ok(())
}
