//! What must hold for the records of `osdiag vmexit`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::record::{list, number};
use crate::report::Truth;

/// Nearly every sleep ended with an interrupt that is its own, and no more interrupts than sleeps; and the guest knows
/// that it is emulated, so that nothing exits.
pub(crate) fn holds(summary: &Value, truth: &Truth) -> Result<()> {
    let activities = list(summary, "activities")?;
    let woken = activities
        .iter()
        .find(|activity| activity["activity"] == "timer" && activity["name"] == truth.op.as_str())
        .with_context(|| format!("no interrupts for sleeps: {activities:?}"))?;
    let doers = list(woken, "doers")?;
    ensure!(
        doers.iter().all(|doer| doer["task"]["comm"] == "init" && doer["context"] == "task"),
        "others than the workload armed timers: {doers:?}"
    );
    let count = number(woken, "event_count")?;
    // An interrupt can come for two timers, of which the tick may be the first.
    ensure!(
        count <= truth.count && 2 * count > truth.count,
        "{count} interrupts ended {} sleeps",
        truth.count
    );
    ensure!(summary["host"]["hypervisor"] == "qemu", "the guest is {}", summary["host"]);
    ensure!(summary["exit_cost"].is_null(), "an exit costs {}", summary["exit_cost"]);
    ensure!(activities.iter().all(|activity| activity["exits"] == "no"), "something exits: {activities:?}");
    Ok(())
}
