//! What must hold for the records of `osdiag delays`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::record::{list, number};
use crate::report::Truth;

/// How far the time on run queues may be from the scheduler's account, which begins when a task is queued and not when it is
/// woken.
const TOLERANCE: f64 = 0.05;

/// The workload's threads were on run queues for as long as the scheduler says, mostly for each other, and what they did is the whole
/// of their time.
pub(crate) fn holds(summary: &Value, truth: &Truth) -> Result<()> {
    let groups = list(summary, "groups")?;
    let group = groups
        .iter()
        .find(|group| group["group"]["comm"] == truth.op.as_str())
        .context("there is no such group")?;
    let queued = list(group, "causes")?.iter().filter(|cause| cause["cause"] == "runqueue");
    let queued = queued.map(|cause| number(cause, "ns")).sum::<Result<u64>>()?;
    let apart = queued.abs_diff(truth.sum_ns);
    ensure!(
        apart as f64 <= truth.sum_ns as f64 * TOLERANCE,
        "the record has {queued} ns on run queues, the scheduler {} ns",
        truth.sum_ns
    );
    had_the_cpu(group, &truth.op, queued)?;
    for group in groups {
        let whole = number(group, "thread_ns")?;
        let apart = group["unaccounted_ns"].as_i64().context("no unaccounted_ns")?.unsigned_abs();
        ensure!(1000 * apart <= whole, "{apart} of {whole} ns of {} are in no part", group["group"]);
    }
    Ok(())
}

/// Who had the CPU meanwhile adds up to the waits for it, and was mostly the group itself, which is all that runs on that CPU.
fn had_the_cpu(group: &Value, comm: &str, queued: u64) -> Result<()> {
    let of_a_cpu = list(group, "culprits")?.iter().filter(|culprit| culprit["resource"] == "cpu");
    let (mut all, mut own) = (0, 0);
    for culprit in of_a_cpu {
        let ns = number(culprit, "ns")?;
        all += ns;
        own += if culprit["group"]["comm"] == comm { ns } else { 0 };
    }
    let omitted = number(&group["culprits_omitted"], "ns")?;
    ensure!(
        (all..=all + omitted).contains(&queued),
        "culprits of a CPU have {all} of {queued} ns of waiting"
    );
    ensure!(2 * own > queued, "they waited for each other, but only {own} of {queued} ns are said to be so");
    Ok(())
}
