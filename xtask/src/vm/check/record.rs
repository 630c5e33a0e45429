//! What must hold for the records of one run.

use anyhow::{Context, Result, anyhow, bail, ensure};
use jsonschema::Validator;
use serde_json::Value;

use crate::report::{Step, step};
use crate::{delays, hung, iolat, lock, runq, vmexit};

/// Runs of a program that the kernel itself left out, as a preemptible one does now and then: then so many calls may be
/// missing, and no more.
pub(crate) const MISSED: &str = "missed_runs";

/// The tools that keep a state for each task, and the first kernel that makes it in a way that is safe in the scheduler:
/// before it, there is none or it is allocated there (kernel/bpf/bpf_local_storage.c).
const WITH_STATES: [&str; 4] = ["delays", "iolat", "runq", "lock"];
const STORAGE_IS_SAFE: (u32, u32) = (6, 4);
/// From here on typed programs can ask for the current task: `bpf_get_current_task_btf`, 5.11.
const TYPED_CURRENT_TASK: (u32, u32) = (5, 11);

/// What osdiag says of preemption around its programs, by the first kernel of which it is true, newest first: who has no
/// function to disable it, who disables it around every program, and who does not (include/trace/bpf_probe.h).
const PREEMPTION: [((u32, u32), &str); 3] = [
    ((7, 2), "programs disable it, because the kernel does not around those on system calls"),
    ((6, 10), "the kernel disables it around programs"),
    ((0, 0), "programs do not disable it, because this kernel has no bpf_preempt_disable"),
];

/// The first two numbers of a kernel's release.
fn version(release: &str) -> (u32, u32) {
    let mut numbers = release.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

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
        if step.name != step::RAW {
            hooks(self.release, &step.tool, summary)?;
        }
        if step.name == step::COMMAND {
            self.preemption(&step.stderr)?;
        }
        ensure!(!step.truth.is_empty(), "the workload left no count");
        let holds = match step.tool.as_str() {
            "iolat" => iolat::holds,
            "delays" => delays::holds,
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

    /// Programs disable preemption where the kernel does not, and `-v` says so.
    fn preemption(&self, stderr: &str) -> Result<()> {
        let said = stderr.lines().find_map(|line| line.strip_prefix("preemption: "));
        let release = version(self.release);
        let expected = PREEMPTION.into_iter().find(|&(first, _)| release >= first).map(|(_, says)| says);
        ensure!(said == expected, "of preemption, -v says {said:?} instead of {expected:?}");
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

/// Which kind of hooks serves is what the kernel allows, and the record says so.
pub(crate) fn hooks(release: &str, tool: &str, summary: &Value) -> Result<()> {
    let without = list(summary, "unavailable")?.iter().any(|missing| missing["name"] == "typed-hooks");
    let release = version(release);
    let raw = WITH_STATES.contains(&tool) && release < STORAGE_IS_SAFE
        || tool == "vmexit" && release < TYPED_CURRENT_TASK;
    ensure!(without == raw, "typed-hooks is in unavailable: {without}");
    let hook = if raw { "raw_tp" } else { "tp_btf" };
    let probes = list(summary, "probes")?;
    ensure!(probes.iter().any(|probe| probe["hook"] == hook), "no hook is {hook}: {probes:?}");
    Ok(())
}

/// A list of a record.
pub(crate) fn list<'a>(record: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    record[key].as_array().with_context(|| format!("no list {key}"))
}

/// A count or a time of a record.
pub(crate) fn number(value: &Value, key: &str) -> Result<u64> {
    value[key].as_u64().with_context(|| format!("no number {key}"))
}
