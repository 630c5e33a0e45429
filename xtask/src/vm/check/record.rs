//! What must hold for the records of one run.

use anyhow::{Context, Result, anyhow, bail, ensure};
use jsonschema::Validator;
use serde_json::Value;

use crate::report::{Step, Truth};

/// How far the layers' sum may be from the operations' time.
const SUM_TOLERANCE: f64 = 0.001;

/// An operation this long on average is mostly in the kernel, so that the two clocks must agree.
const LONG_NS: u64 = 1_000_000;

/// How much of the caller's time the record must have for such operations.
const LONG_SHARE: f64 = 0.8;

/// Fewer calls than this can all have lost their CPU just after they returned, before the caller's clock.
const MANY: u64 = 10;

/// Runs of a program that the kernel itself left out, as a preemptible one does now and then: then so many calls may be
/// missing, and no more.
const MISSED: &str = "missed_runs";

/// The schema and the kernel that records are held against.
pub(crate) struct Judge<'a> {
    validator: Validator,
    release: &'a str,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(schema: &Value, release: &'a str) -> Result<Self> {
        let validator = jsonschema::validator_for(schema).map_err(|error| anyhow!("bad schema: {error}"))?;
        Ok(Self { validator, release })
    }

    /// Every record is valid, and the one summary is the workload's truth.
    pub(crate) fn step(&self, step: &Step) -> Result<()> {
        let records = step.stdout.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
        let records = records.context("a record is not JSON")?;
        for record in &records {
            self.record(record)?;
        }
        let mut summaries = records.iter().filter(|record| record["type"] == "summary");
        let (Some(summary), None) = (summaries.next(), summaries.next()) else {
            bail!("{} records, but not one summary", records.len());
        };
        ensure!(!step.truth.is_empty(), "the workload left no count");
        for truth in &step.truth {
            operation(summary, truth).with_context(|| truth.op.clone())?;
        }
        Ok(())
    }

    fn record(&self, record: &Value) -> Result<()> {
        if let Some(error) = self.validator.iter_errors(record).next() {
            bail!("invalid record at {}: {error}", error.instance_path());
        }
        ensure!(record["schema"] == "osdiag.iolat/1", "the schema is {}", record["schema"]);
        ensure!(
            record["host"]["kernel"] == self.release,
            "the host's kernel is {}",
            record["host"]["kernel"]
        );
        let lost = record["lost"].as_object().context("nothing says what was lost")?;
        for (what, count) in lost.iter().filter(|(what, _)| *what != MISSED) {
            ensure!(*count == 0, "lost {what}: {count}");
        }
        for operation in list(record, "operations")? {
            layers(operation).with_context(|| format!("layers of {}", operation["op"]))?;
        }
        Ok(())
    }
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
fn operation(summary: &Value, truth: &Truth) -> Result<()> {
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

fn list<'a>(record: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    record[key].as_array().with_context(|| format!("no list {key}"))
}

fn number(value: &Value, key: &str) -> Result<u64> {
    value[key].as_u64().with_context(|| format!("no number {key}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RELEASE: &str = "6.1.0-1-cloud-amd64";

    fn summary(operations: &Value) -> Value {
        json!({
            "schema": "osdiag.iolat/1", "type": "summary", "host": {"kernel": RELEASE},
            "lost": {"events": 0}, "operations": operations,
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
        let mut loose = pwrite("ext4", 10, 49_000_000);
        loose["layers"]["cpu"]["ns"] = json!(1);
        for (records, complaint) in [
            (vec![summary(&json!([pwrite("ext4", 9, 49_000_000)]))], "the record counts 9"),
            (vec![summary(&json!([pwrite("ext4", 10, 51_000_000)]))], "more than the workload's"),
            (vec![summary(&json!([pwrite("ext4", 10, 9_000_000)]))], "of the workload's"),
            (vec![summary(&json!([loose]))], "they add up to"),
            (vec![lossy], "lost events: 3"),
            (vec![json!({"schema": "osdiag.iolat/1"})], "invalid record"),
            (Vec::new(), "not one summary"),
        ] {
            let error = format!("{:#}", verdict(&records).unwrap_err());
            assert!(error.contains(complaint), "{error}");
        }
    }
}
