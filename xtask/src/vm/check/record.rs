//! What must hold for the records of one run.

use anyhow::{Context, Result, anyhow, bail, ensure};
use jsonschema::Validator;
use serde_json::Value;

use crate::report::Step;
use crate::{hung, iolat, lock, runq, vmexit};

/// Runs of a program that the kernel itself left out, as a preemptible one does now and then: then so many calls may be
/// missing, and no more.
pub(crate) const MISSED: &str = "missed_runs";

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
            self.record(&step.tool, record)?;
        }
        let mut summaries = records.iter().filter(|record| record["type"] == "summary");
        let (Some(summary), None) = (summaries.next(), summaries.next()) else {
            bail!("{} records, but not one summary", records.len());
        };
        ensure!(!step.truth.is_empty(), "the workload left no count");
        let holds = match step.tool.as_str() {
            "iolat" => iolat::holds,
            "runq" => runq::holds,
            "lock" => lock::holds,
            "hung" => hung::holds,
            "vmexit" => vmexit::holds,
            other => bail!("nobody knows what must hold for {other}"),
        };
        for truth in &step.truth {
            holds(summary, truth).with_context(|| truth.op.clone())?;
        }
        Ok(())
    }

    fn record(&self, tool: &str, record: &Value) -> Result<()> {
        if let Some(error) = self.validator.iter_errors(record).next() {
            bail!("invalid record at {}: {error}", error.instance_path());
        }
        let schema = record["schema"].as_str().unwrap_or_default();
        ensure!(schema.starts_with(&format!("osdiag.{tool}/")), "the schema is {schema}");
        ensure!(
            record["host"]["kernel"] == self.release,
            "the host's kernel is {}",
            record["host"]["kernel"]
        );
        let lost = record["lost"].as_object().context("nothing says what was lost")?;
        for (what, count) in lost.iter().filter(|(what, _)| *what != MISSED) {
            ensure!(*count == 0, "lost {what}: {count}");
        }
        if tool == "iolat" { iolat::adds_up(record) } else { Ok(()) }
    }
}

/// A list of a record.
pub(crate) fn list<'a>(record: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    record[key].as_array().with_context(|| format!("no list {key}"))
}

/// A count or a time of a record.
pub(crate) fn number(value: &Value, key: &str) -> Result<u64> {
    value[key].as_u64().with_context(|| format!("no number {key}"))
}
