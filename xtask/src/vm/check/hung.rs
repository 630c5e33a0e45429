//! What must hold for the records of `osdiag hung`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::record::{list, number};
use crate::report::Truth;

/// How far a sleep may be from its writer's own clock, ns: emulation is slow.
const APART_NS: u64 = 1_500_000_000;

/// One writer waited for the frozen file system and the other for its lock, as long as their clocks say.
pub(crate) fn holds(summary: &Value, truth: &Truth) -> Result<()> {
    let tasks = list(summary, "tasks")?;
    let by = |cause: &str| {
        let found = tasks.iter().find(|task| task["cause"] == cause && !task["resolved_at"].is_null());
        found.with_context(|| format!("nobody who waited for it ({cause}): {tasks:?}"))
    };
    let (frozen, waiting) = (by("freeze")?, by("lock")?);
    let blocked = number(frozen, "blocked_ns")? + number(waiting, "blocked_ns")?;
    // A sleep lasts until it was last seen, and the record says how late a look was at most.
    let late = number(&summary["looks"], "longest_delay_ns")?;
    let apart = APART_NS + 2 * late;
    ensure!(blocked.abs_diff(truth.sum_ns) <= apart, "they slept for {blocked} ns of {} ns", truth.sum_ns);
    ensure!(frozen["filesystem"] == "ext4", "the file system is not told: {frozen}");
    let tells = list(summary, "unavailable")?.iter().all(|missing| missing["name"] != "contention_begin");
    ensure!(
        !tells || waiting["chain"][0]["task"]["tid"] == frozen["task"]["tid"],
        "it is not behind the other: {waiting}"
    );
    Ok(())
}
