//! `osdiag.iolat/1`: what a record of `osdiag iolat` adds to the common keys.

use std::borrow::Cow;

use diag_common::{
    cause::{Cause, Layer},
    iolat::Op,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::pending::PendingOperation;
use crate::output::{histogram::Histogram, record::Body, units::share};

/// What `osdiag iolat` found in an interval or a session.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Iolat {
    /// One for each system call, device and file system.
    pub(crate) operations: Vec<Operation>,
    /// The slowest single operations, slowest first.
    pub(crate) slowest: Vec<SlowOperation>,
    /// Operations that had not returned when tracing ended, and are in none of the numbers; absent without any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) pending: Vec<PendingOperation>,
    /// The operation that lost most time in its tail; null where no tail's mean reaches `--slow`.
    pub(crate) verdict: Option<Verdict>,
}

impl Body for Iolat {
    const SCHEMA: &'static str = "osdiag.iolat/1";
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
    /// Their time by layer, ns, in the order of [`Layer::ALL`].
    pub(crate) ns_by_layer: [u64; 6],
}

/// All operations of one system call on one device and file system.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct Operation {
    /// The system call.
    pub(crate) op: OpName,
    /// The device that holds the file system, `MAJOR:MINOR`, or the block device itself.
    pub(crate) device: String,
    /// The device's name in `/sys/dev/block`, such as `vda1`, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) device_name: Option<String>,
    /// The file system; `bdev` for a block device opened as a file.
    pub(crate) filesystem: String,
    /// Bytes that the calls moved.
    pub(crate) bytes: u64,
    /// How long they took.
    pub(crate) latency: Histogram,
    /// Where that time went.
    pub(crate) layers: Layers,
    /// The same, finer; largest first.
    pub(crate) causes: Vec<OperationCause>,
    /// The same for the slowest operations alone.
    pub(crate) tail: Tail,
}

impl Operation {
    /// The device and file system as people say it: `vda1 (254:1, ext4)`.
    pub(crate) fn place(&self) -> String {
        match &self.device_name {
            Some(name) => format!("{name} ({}, {})", self.device, self.filesystem),
            None => format!("{} ({})", self.device, self.filesystem),
        }
    }
}

/// One cause in all operations of a group.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct OperationCause {
    #[serde(flatten)]
    pub(crate) part: CausePart,
    /// How long the cause's part alone took, in the operations that had any.
    pub(crate) latency: Histogram,
}

/// The slowest operations of a group.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub(crate) struct Tail {
    /// The share of operations that is faster, 0 to 1; 0.99 means the slowest 1 %.
    pub(crate) quantile: f64,
    /// The latency from which on an operation is in the tail, ns.
    pub(crate) threshold_ns: u64,
    /// Operations in the tail.
    pub(crate) ops: u64,
    /// Their mean latency, ns.
    pub(crate) mean_ns: u64,
    /// Where their time went.
    pub(crate) layers: Layers,
    /// The same, finer; largest first.
    pub(crate) causes: Vec<CausePart>,
}

/// One slow operation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct SlowOperation {
    /// The system call.
    pub(crate) op: OpName,
    /// The process.
    pub(crate) pid: u32,
    /// The thread.
    pub(crate) tid: u32,
    /// The thread's name.
    pub(crate) comm: String,
    /// The path of its cgroup within the hierarchy, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) cgroup: Option<String>,
    /// The path of the file, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub(crate) file: Option<String>,
    /// Where in the file it began, bytes, where that has a meaning.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub(crate) offset: Option<u64>,
    /// Bytes that it moved; absent for calls that move none and for those that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    pub(crate) bytes: Option<u64>,
    /// How long it took, ns.
    pub(crate) latency_ns: u64,
    /// Where its time went.
    pub(crate) layers: Layers,
    /// The same, finer; largest first.
    pub(crate) causes: Vec<CausePart>,
    /// The kernel stack of its longest wait of which one was taken, innermost function first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub(crate) stack: Option<Vec<String>>,
}

/// One cause's share of some time.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct CausePart {
    #[serde(flatten)]
    pub(crate) cause: CauseName,
    /// Its time, ns.
    pub(crate) ns: u64,
    /// Its share of the time, 0 to 1.
    pub(crate) share: f64,
    /// Operations that had any of it.
    pub(crate) ops: u64,
    /// What the holder or the waker was itself waiting for, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CauseName")]
    pub(crate) via: Option<CauseName>,
    /// The kernel stack of the longest such wait of which one was taken, innermost function first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<String>")]
    pub(crate) stack: Option<Vec<String>>,
}

/// The operation that lost most time in its tail, and why.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Verdict {
    /// The system call.
    pub(crate) op: OpName,
    /// The device, as in `operations`.
    pub(crate) device: String,
    /// The largest cause of the tail's largest layer.
    #[serde(flatten)]
    pub(crate) cause: CauseName,
    /// What the holder or the waker was itself waiting for, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "CauseName")]
    pub(crate) via: Option<CauseName>,
    /// The cause's share of the tail's time, 0 to 1.
    pub(crate) share: f64,
    /// All of this in one plain sentence.
    pub(crate) statement: String,
    /// What to look at next, most telling first.
    pub(crate) advice: Vec<String>,
}

/// Time by layer; exclusive, so it adds up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub(crate) struct Layers {
    /// It had to make or wait for memory.
    pub(crate) memory: LayerTime,
    /// It waited for the file system's own locks, log or state.
    pub(crate) filesystem: LayerTime,
    /// It waited for a block request.
    pub(crate) block: LayerTime,
    /// It ran, or could have run.
    pub(crate) cpu: LayerTime,
    /// The virtual CPU itself was not running.
    pub(crate) hypervisor: LayerTime,
    /// None of these.
    pub(crate) other: LayerTime,
}

/// One layer's part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, JsonSchema)]
pub(crate) struct LayerTime {
    /// Its time, ns.
    pub(crate) ns: u64,
    /// Its share of the time, 0 to 1.
    pub(crate) share: f64,
}

impl Layers {
    /// From times in ns in the order of [`Layer::ALL`].
    pub(crate) fn from_ns(ns: [u64; 6]) -> Self {
        let total = ns.iter().sum();
        let [memory, filesystem, block, cpu, hypervisor, other] =
            ns.map(|ns| LayerTime { ns, share: share(ns, total) });
        Self { memory, filesystem, block, cpu, hypervisor, other }
    }

    /// One layer's part.
    pub(crate) fn get(&self, layer: Layer) -> LayerTime {
        match layer {
            Layer::Memory => self.memory,
            Layer::Filesystem => self.filesystem,
            Layer::Block => self.block,
            Layer::Cpu => self.cpu,
            Layer::Hypervisor => self.hypervisor,
            Layer::Other => self.other,
        }
    }

    /// The sum of all layers, ns.
    pub(crate) fn total_ns(&self) -> u64 {
        Layer::ALL.iter().map(|&layer| self.get(layer).ns).sum()
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

/// A cause, by the two keys `layer` and `cause`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CauseName(pub(crate) Cause);

impl Serialize for CauseName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut keys = serializer.serialize_struct("CauseName", 2)?;
        keys.serialize_field("layer", self.0.layer().name())?;
        keys.serialize_field("cause", self.0.name())?;
        keys.end()
    }
}

impl JsonSchema for CauseName {
    fn schema_name() -> Cow<'static, str> {
        "CauseName".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let layers = Layer::ALL.map(Layer::name);
        let mut causes: Vec<&str> = Cause::ALL.iter().map(|cause| cause.name()).collect();
        causes.sort_unstable();
        causes.dedup();
        json_schema!({
            "type": "object",
            "properties": {
                "layer": { "description": "Whose time it is.", "type": "string", "enum": layers },
                "cause": { "description": "Why, within the layer.", "type": "string", "enum": causes },
            },
            "required": ["layer", "cause"],
        })
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
            ("/target", json!({"kind": "cgroup"})),
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
        assert!(report(vec![], vec![]).record.body.verdict.is_none());
        assert!(serde_json::to_value(report(vec![], vec![]).record).unwrap()["verdict"].is_null());
    }
}
