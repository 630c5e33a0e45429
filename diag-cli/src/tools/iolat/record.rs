//! `osdiag.iolat/1`: what a record of `osdiag iolat` adds to the common keys.

use std::borrow::Cow;

use diag_common::iolat::{Failure, Op};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer};

use super::{attach::KERNEL_SIDE, pending::PendingOperation};
use crate::output::{
    advice::ids,
    cause_advice,
    consistency::Contradiction,
    histogram::Histogram,
    record::{
        Body,
        cause::{CauseKeys, Step},
        layers::{LAYERS, Layers},
        parties::{Device, Omitted, Task},
        verdict::Verdict,
    },
};

/// What `osdiag iolat` found in an interval or a session.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Iolat {
    /// One for each system call, device and file system, in the order of `--sort`; `--top` of them.
    pub(crate) operations: Vec<Operation>,
    /// What `operations` lacks, and the time of those operations.
    pub(crate) operations_omitted: Omitted,
    /// The slowest single operations, slowest first.
    pub(crate) slowest: Vec<SlowOperation>,
    /// All other operations, and their time.
    pub(crate) slowest_omitted: Omitted,
    /// Operations that had not returned when tracing ended, and are in none of the numbers; null but in a summary, and
    /// where system calls of other tasks cannot be read.
    pub(crate) pending: Option<Vec<PendingOperation>>,
    /// What `pending` lacks; null where that is.
    pub(crate) pending_omitted: Option<Omitted>,
    /// The operation that lost most time in its tail, and to what.
    pub(crate) verdict: Verdict,
    /// How many operations there were.
    #[serde(skip)]
    pub(crate) counted: u64,
}

impl Body for Iolat {
    const SCHEMA: &'static str = "osdiag.iolat/1";

    fn unavailable_names() -> Vec<&'static str> {
        KERNEL_SIDE.unavailable_names()
    }

    fn advice_rules() -> Vec<&'static str> {
        ids(cause_advice::RULES)
    }

    fn set_verdict(&mut self, verdict: Verdict) {
        self.verdict = verdict;
    }

    fn counted(&self) -> Option<u64> {
        Some(self.counted)
    }

    fn contradictions(&self) -> Vec<Contradiction> {
        let tails = self.operations.iter().filter_map(Operation::tail_below_percentile);
        let parts = self.operations.iter().filter_map(Operation::parts_differ);
        tails.chain(parts).chain(self.longest_missing()).collect()
    }
}

/// How much longer than the slowest that is listed the slowest may be that is counted: none is, but for the rounding of
/// buckets.
const LONGEST_TOLERANCE: f64 = 1.05;
/// How much parts may differ from their whole.
const PARTS_TOLERANCE: f64 = 0.001;

impl Iolat {
    fn longest_missing(&self) -> Option<Contradiction> {
        let listed_ns = self.slowest.first()?.latency_ns;
        let counted_ns = self.operations.iter().filter_map(|operation| operation.latency.max_ns).max()?;
        let missing = counted_ns as f64 > listed_ns as f64 * LONGEST_TOLERANCE;
        missing.then_some(Contradiction::LongestMissing { listed_ns, counted_ns })
    }
}

/// How the latencies of an operation, and the layers within them, are spread.
#[derive(Debug, Clone, Default)]
pub(crate) struct Spectrum {
    /// By latency, ascending; empty ones are left out.
    pub(crate) bins: Vec<SpectrumBin>,
}

/// One latency bucket of a spectrum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SpectrumBin {
    /// The smallest latency in it, ns.
    pub(crate) low_ns: u64,
    /// The largest latency in it, ns.
    pub(crate) high_ns: u64,
    /// Operations.
    pub(crate) ops: u64,
    /// Their time by layer, ns, in the order of [`Layer::ALL`](diag_common::cause::Layer::ALL).
    pub(crate) ns_by_layer: [u64; LAYERS],
}

/// All operations of one system call on one device and file system.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Operation {
    /// The system call.
    pub(crate) op: OpName,
    /// The device that holds the file system, or the block device itself.
    pub(crate) device: Device,
    /// The file system; `bdev` for a block device opened as a file.
    pub(crate) filesystem: String,
    /// Bytes that the calls moved.
    pub(crate) bytes: u64,
    /// How long they took.
    pub(crate) latency: Histogram,
    /// How long their tasks were stopped on the way back, by a signal, the freezer or a tracer, ns. It is in no latency.
    pub(crate) stopped_ns: u64,
    /// Calls that failed. Those of them that did not sleep are in no latency.
    pub(crate) failed_count: u64,
    /// The same by how they failed; classes of which there were none are left out.
    pub(crate) failures: Vec<FailedCalls>,
    /// Where that time went.
    pub(crate) layers: Layers,
    /// The same, finer; largest first.
    pub(crate) causes: Vec<OperationCause>,
    /// What `causes` lacks.
    pub(crate) causes_omitted: Omitted,
    /// The same for the slowest operations alone.
    pub(crate) tail: Tail,
}

impl Operation {
    /// The device and file system as people say it: `vda1 (254:1, ext4)`.
    pub(crate) fn place(&self) -> String {
        match &self.device.name {
            Some(name) => format!("{name} ({}, {})", self.device.id, self.filesystem),
            None => format!("{} ({})", self.device.id, self.filesystem),
        }
    }

    /// `pwrite64 on vda1 (254:1, ext4)`.
    pub(crate) fn label(&self) -> String {
        format!("{} on {}", self.op.0.name(), self.place())
    }

    fn tail_below_percentile(&self) -> Option<Contradiction> {
        let Tail { threshold_ns, mean_ns, operation_count, .. } = self.tail;
        (operation_count > 0 && mean_ns < threshold_ns).then(|| Contradiction::TailBelowPercentile {
            of: self.label(),
            mean_ns,
            percentile_ns: threshold_ns,
        })
    }

    fn parts_differ(&self) -> Option<Contradiction> {
        let (parts_ns, whole_ns) = (self.layers.total_ns(), self.latency.sum_ns);
        let differ = parts_ns.abs_diff(whole_ns) as f64 > whole_ns as f64 * PARTS_TOLERANCE;
        differ.then(|| Contradiction::PartsDiffer { of: self.label(), parts_ns, whole_ns })
    }
}

/// One cause in all operations of a group.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct OperationCause {
    #[serde(flatten)]
    pub(crate) cause: CausePart,
    /// How long the cause's part alone took, in the operations that had any.
    pub(crate) part: Histogram,
}

/// The slowest operations of a group.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Tail {
    /// The share of operations that is faster, 0 to 1: that of `--tail` as nearly as whole buckets allow.
    pub(crate) quantile: f64,
    /// The latency from which on an operation is in the tail, ns.
    pub(crate) threshold_ns: u64,
    /// Operations in the tail.
    pub(crate) operation_count: u64,
    /// Their mean latency, ns.
    pub(crate) mean_ns: u64,
    /// Where their time went.
    pub(crate) layers: Layers,
    /// The same, finer; largest first.
    pub(crate) causes: Vec<CausePart>,
    /// What `causes` lacks.
    pub(crate) causes_omitted: Omitted,
}

/// One slow operation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct SlowOperation {
    /// The system call.
    pub(crate) op: OpName,
    /// The thread that called it.
    pub(crate) task: Task,
    /// The path of the file; null where it is not known.
    pub(crate) file: Option<String>,
    /// Where in the file it began; null where that has no meaning.
    pub(crate) offset_bytes: Option<u64>,
    /// What it moved; null for calls that move nothing and for those that failed.
    pub(crate) bytes: Option<u64>,
    /// How long it took, ns.
    pub(crate) latency_ns: u64,
    /// Where its time went.
    pub(crate) layers: Layers,
    /// The same, finer; largest first.
    pub(crate) causes: Vec<CausePart>,
    /// What `causes` lacks.
    pub(crate) causes_omitted: Omitted,
    /// Its largest cause, what that was itself waiting for, and so on, as far as it is known.
    pub(crate) chain: Vec<Step>,
    /// The kernel stack of its longest wait of which one was taken, innermost function first; null where none was.
    pub(crate) stack: Option<Vec<String>>,
}

/// One cause's share of some time.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct CausePart {
    #[serde(flatten)]
    pub(crate) keys: CauseKeys,
    /// Its time, ns.
    pub(crate) ns: u64,
    /// Its share of the time, 0 to 1.
    pub(crate) share: f64,
    /// Operations that had any of it.
    pub(crate) operation_count: u64,
    /// The kernel stack of the longest such wait of which one was taken, innermost function first; null where none was.
    pub(crate) stack: Option<Vec<String>>,
}

/// Calls that failed in one way.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct FailedCalls {
    /// How, by the error: `again` is EAGAIN, `interrupted` is EINTR or a restart, `invalid` EBADF, EINVAL and the like, `access` EPERM, EACCES,
    /// EROFS, `space` ENOSPC, EDQUOT, ENOMEM, `device` EIO and the like.
    pub(crate) failure: FailureName,
    /// How many.
    pub(crate) operation_count: u64,
}

/// How calls fail, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FailureName(pub(crate) Failure);

impl Serialize for FailureName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl JsonSchema for FailureName {
    fn schema_name() -> Cow<'static, str> {
        "Failure".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Failure::ALL.iter().map(|failure| failure.name()).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}

/// A system call, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpName(pub(crate) Op);

impl Serialize for OpName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.name())
    }
}

impl JsonSchema for OpName {
    fn schema_name() -> Cow<'static, str> {
        "Op".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names: Vec<&str> = Op::ALL.iter().map(|op| op.name()).collect();
        json_schema!({ "type": "string", "enum": names })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        output::{
            record::Record,
            sample::{check_keys, check_refused, complaints, keys},
        },
        tools::iolat::sample::{report, throttled},
    };

    #[test]
    fn the_schema_is_a_schema() {
        let schema = Record::<Iolat>::json_schema();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        jsonschema::draft202012::meta::validate(&schema).unwrap();
    }

    #[test]
    fn records_follow_the_schema_and_nothing_less_does() {
        let record = serde_json::to_value(throttled().record).unwrap();
        check_keys::<Iolat>(&record);
        let empty = serde_json::to_value(report(vec![], vec![]).record).unwrap();
        assert_eq!(complaints::<Iolat>(&empty), Vec::<String>::new());
        for (pointer, wrong) in [
            ("/schema", json!("osdiag.iolat/2")),
            ("/type", json!("total")),
            ("/start", json!("yesterday")),
            ("/operations/0/op", json!("open")),
            ("/operations/0/causes/0/layer", json!("disk")),
            ("/operations/0/latency/p50_ns", json!(1.5)),
            ("/operations/0/tail/layers/other", json!(null)),
            ("/target/kind", json!("vm")),
            ("/operations/0/causes/0/via", json!("disk")),
            ("/verdict/advice/0/rule", json!("reboot")),
            ("/unavailable", json!([{"name": "luck", "why": "", "effect": ""}])),
        ] {
            check_refused::<Iolat>(&record, pointer, wrong);
        }
    }

    #[test]
    fn a_record_has_the_keys_of_the_contract() {
        let record = serde_json::to_value(throttled().record).unwrap();
        insta::assert_snapshot!(
            [
                "",
                "/host",
                "/self",
                "/operations/1",
                "/operations/1/latency",
                "/operations/1/layers",
                "/operations/1/layers/memory",
                "/operations/1/causes/0",
                "/operations/1/tail",
                "/operations/1/tail/causes/2",
                "/slowest/0",
                "/slowest/0/causes/0",
                "/verdict"
            ]
            .map(|pointer| format!("{pointer}: {}", keys(&record, pointer)))
            .join("\n")
        );
    }
}
