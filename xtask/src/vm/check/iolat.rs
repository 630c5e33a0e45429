//! What must hold for the records of `osdiag iolat`.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::record::{MISSED, list, number};
use crate::report::Truth;

/// How far the layers' sum may be from the operations' time.
const SUM_TOLERANCE: f64 = 0.001;

/// An operation this long on average is mostly in the kernel, so that the two clocks must agree.
const LONG_NS: u64 = 1_000_000;

/// How much of the caller's time the record must have for such operations.
const LONG_SHARE: f64 = 0.8;

/// Fewer calls than this can all have lost their CPU just after they returned, before the caller's clock.
const MANY: u64 = 10;

/// Every operation's layers add up.
pub(crate) fn adds_up(record: &Value) -> Result<()> {
    for operation in list(record, "operations")? {
        layers(operation).with_context(|| format!("layers of {}", operation["op"]))?;
    }
    Ok(())
}

/// The layers add up to the operations' time.
fn layers(operation: &Value) -> Result<()> {
    let sum = number(&operation["latency"], "sum_ns")?;
    let layers = operation["layers"].as_object().context("no layers")?;
    let parts = layers.values().map(|layer| number(layer, "ns")).sum::<Result<u64>>()?;
    let apart = sum.abs_diff(parts);
    ensure!(apart as f64 <= sum as f64 * SUM_TOLERANCE, "they add up to {parts} ns of {sum} ns");
    Ok(())
}

/// The record has every call of an operation on the disk and no other, within the caller's time.
pub(crate) fn holds(summary: &Value, truth: &Truth) -> Result<()> {
    let on_disk = list(summary, "operations")?
        .iter()
        .filter(|operation| operation["op"] == truth.op.as_str() && operation["filesystem"] == "ext4")
        .collect::<Vec<_>>();
    let total = |of: &dyn Fn(&Value) -> Result<u64>| on_disk.iter().map(|it| of(it)).sum::<Result<u64>>();
    let count = total(&|it| number(&it["latency"], "count"))?;
    let missed = summary["lost"][MISSED].as_u64().unwrap_or(0);
    let all = truth.count.saturating_sub(missed)..=truth.count;
    ensure!(all.contains(&count), "the record counts {count}, the workload {}", truth.count);
    let bytes = total(&|it| number(it, "bytes"))?;
    ensure!(
        bytes == truth.bytes || count < truth.count,
        "the record has {bytes} bytes, the workload {}",
        truth.bytes
    );
    let sum = total(&|it| number(&it["latency"], "sum_ns"))?;
    ensure!(sum <= truth.sum_ns, "the record has {sum} ns, more than the workload's {} ns", truth.sum_ns);
    let is_long = truth.count >= MANY && truth.sum_ns > truth.count * LONG_NS;
    let enough = sum as f64 >= truth.sum_ns as f64 * LONG_SHARE;
    ensure!(!is_long || enough, "the record has {sum} ns of the workload's {} ns", truth.sum_ns);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::Judge;
    use crate::report::Step;

    const RELEASE: &str = "6.1.0-1-cloud-amd64";

    fn summary(operations: &Value) -> Value {
        json!({
            "schema": "osdiag.iolat/1", "type": "summary", "host": {"kernel": RELEASE},
            "lost": {"events": 0}, "operations": operations,
            "unavailable": [{"name": "typed-hooks"}], "probes": [{"name": "sys_enter", "hook": "raw_tp"}],
        })
    }

    fn pwrite(filesystem: &str, count: u64, sum: u64) -> Value {
        json!({
            "op": "pwrite64", "filesystem": filesystem, "bytes": count * 4096,
            "latency": {"count": count, "sum_ns": sum},
            "layers": {"cpu": {"ns": sum - sum / 4}, "block": {"ns": sum / 4}},
        })
    }

    fn verdict(records: &[Value]) -> Result<()> {
        let stdout = records.iter().map(|record| format!("{record}\n")).collect();
        let truth = vec![Truth { op: "pwrite64".to_owned(), count: 10, bytes: 40960, sum_ns: 50_000_000 }];
        let step = Step {
            name: String::new(),
            tool: "iolat".to_owned(),
            status: Some(0),
            elapsed_ms: 1,
            stdout,
            stderr: String::new(),
            truth,
        };
        Judge::new(&json!({"required": ["schema", "type", "operations"]}), RELEASE)?.step(&step)
    }

    #[test]
    fn a_true_record_passes() {
        let summary = summary(&json!([pwrite("ext4", 10, 49_000_000), pwrite("tmpfs", 1, 100)]));
        verdict(&[summary]).unwrap();
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut lossy = summary(&json!([pwrite("ext4", 10, 49_000_000)]));
        lossy["lost"]["events"] = json!(3);
        let mut typed = summary(&json!([pwrite("ext4", 10, 49_000_000)]));
        typed["unavailable"] = json!([]);
        let mut loose = pwrite("ext4", 10, 49_000_000);
        loose["layers"]["cpu"]["ns"] = json!(1);
        for (records, complaint) in [
            (vec![summary(&json!([pwrite("ext4", 9, 49_000_000)]))], "the record counts 9"),
            (vec![summary(&json!([pwrite("ext4", 10, 51_000_000)]))], "more than the workload's"),
            (vec![summary(&json!([pwrite("ext4", 10, 9_000_000)]))], "of the workload's"),
            (vec![summary(&json!([loose]))], "they add up to"),
            (vec![lossy], "lost events: 3"),
            (vec![typed], "typed-hooks is in unavailable: false"),
            (vec![json!({"schema": "osdiag.iolat/1"})], "invalid record"),
            (Vec::new(), "not one summary"),
        ] {
            let error = format!("{:#}", verdict(&records).unwrap_err());
            assert!(error.contains(complaint), "{error}");
        }
    }
}
