//! What must hold for the records of `osdiag vmexit`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::record::{list, number};
use crate::report::Truth;

/// Nearly every sleep ended with an interrupt that is its own, and no more interrupts than sleeps; and the guest knows
/// that it is emulated, so that nothing exits.
pub(crate) fn holds(summary: &Value, truth: &Truth) -> Result<()> {
    let causes = list(summary, "causes")?;
    let woken = causes
        .iter()
        .find(|cause| cause["kind"] == "timer" && cause["name"] == truth.op.as_str())
        .with_context(|| format!("no interrupts for sleeps: {causes:?}"))?;
    let by = list(woken, "by")?;
    ensure!(
        by.iter().all(|doer| doer["comm"] == "init" && doer["context"] == "task"),
        "others than the workload armed timers: {by:?}"
    );
    let count = number(woken, "count")?;
    // An interrupt can come for two timers, of which the tick may be the first.
    ensure!(
        count <= truth.count && 2 * count > truth.count,
        "{count} interrupts ended {} sleeps",
        truth.count
    );
    ensure!(summary["features"]["hypervisor"] == "QEMU TCG", "the guest is {}", summary["features"]);
    ensure!(summary["exit_cost_ns"].is_null(), "an exit costs {}", summary["exit_cost_ns"]);
    ensure!(causes.iter().all(|cause| cause["exits"] == "no"), "something exits: {causes:?}");
    Ok(())
}
