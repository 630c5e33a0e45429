//! What must hold for the records of `osdiag lock`.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::record::{list, number};
use crate::report::Truth;

/// The sides of an rwsem.
const SIDES: [&str; 2] = ["rwsem-read", "rwsem-write"];

/// A call waits for the lock once from each side at most, and all of that time lies within the call. ext4 takes a file's lock as a
/// reader, and finding that the file will grow lets go of it and takes it as a writer (`ext4_dio_write_checks`, fs/ext4/file.c,
/// 5.10 to 7.3); opening a file takes its directory's lock from one side.
pub(crate) fn holds(summary: &Value, truth: &Truth) -> Result<()> {
    let locks = list(summary, "locks")?;
    let named: Vec<_> = locks.iter().filter(|lock| lock["name"] == truth.op.as_str()).collect();
    ensure!(
        !named.is_empty(),
        "no such lock among {:?}",
        locks.iter().map(|lock| &lock["name"]).collect::<Vec<_>>()
    );
    for side in SIDES {
        let waits = named.iter().filter(|lock| lock["lock_type"] == side);
        let waits = waits.map(|lock| number(&lock["wait"], "count")).sum::<Result<u64>>()?;
        ensure!(waits <= truth.count, "{waits} {side} waits do not fit into {} calls", truth.count);
    }
    let strange = named.iter().find(|lock| !SIDES.iter().any(|side| lock["lock_type"] == *side));
    ensure!(strange.is_none(), "no rwsem has this name: {strange:?}");
    let ns = named.iter().map(|lock| number(&lock["wait"], "sum_ns")).sum::<Result<u64>>()?;
    ensure!(ns <= truth.sum_ns, "waits of {ns} ns do not fit into calls of {} ns", truth.sum_ns);
    // Of four that write one after the other, three wait; but under emulation much of a call's time is no waiting, and more so on a
    // busy machine.
    ensure!(4 * ns > truth.sum_ns, "only {ns} of {} ns are said to be waits", truth.sum_ns);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judged(sides: [(&str, u64, u64); 2]) -> Result<()> {
        let lock = |(side, count, ns): (&str, u64, u64)| json!({"lock_type": side, "name": "inode i_rwsem", "wait": {"count": count, "sum_ns": ns}});
        let truth = Truth { op: "inode i_rwsem".to_owned(), count: 404, sum_ns: 1000, ..Truth::default() };
        holds(&json!({ "locks": sides.map(lock) }), &truth)
    }

    #[test]
    fn a_call_can_wait_from_either_side_but_not_twice_from_one() {
        judged([("rwsem-read", 6, 10), ("rwsem-write", 400, 700)]).unwrap();
        let wrong = |sides| format!("{:#}", judged(sides).unwrap_err());
        assert!(wrong([("rwsem-read", 6, 10), ("rwsem-write", 405, 700)]).contains("405 rwsem-write waits"));
        assert!(wrong([("rwsem-read", 6, 400), ("rwsem-write", 400, 700)]).contains("1100 ns do not fit"));
        assert!(wrong([("mutex", 6, 10), ("rwsem-write", 400, 700)]).contains("no rwsem"));
        assert!(wrong([("rwsem-read", 6, 10), ("rwsem-write", 40, 70)]).contains("only 80 of 1000"));
    }
}
