//! Reading records as a stranger would: by the contract's names alone, with nothing of osdiag's own code.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    process::Command,
    sync::{Arc, Mutex},
};

use jsonschema::Validator;
use serde_json::Value;

use crate::{delays, diagnose, lock, operations, osdiag::binary, runq, stuck, vmexit};

/// What must be true of each record of a tool; it panics otherwise.
type Check = fn(&Record);

/// The tools' schemas, and their checks.
const CHECKS: &[(&str, Check)] = &[
    ("osdiag.delays/1", delays::record::check),
    ("osdiag.diagnose/1", diagnose::check),
    ("osdiag.iolat/1", operations::check),
    ("osdiag.lock/1", lock::check),
    ("osdiag.runq/1", runq::record::check),
    ("osdiag.hung/1", stuck::check),
    ("osdiag.vmexit/1", vmexit::check),
];

/// One line of `--json`.
#[derive(Clone, Debug)]
pub(crate) struct Record(pub Value);

/// Reads a line, and checks what must be true of every record.
pub(crate) fn read(line: &str) -> Record {
    let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON: {error}: {line}"));
    let record = Record(value);
    let schema = record.text("schema");
    let tool = schema.strip_prefix("osdiag.").and_then(|rest| rest.split('/').next()).unwrap_or(schema);
    let errors: Vec<String> = validator(tool)
        .iter_errors(&record.0)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "does not follow its schema: {errors:#?}");
    let check = CHECKS.iter().find(|(name, _)| *name == schema);
    let (_, check) = check.unwrap_or_else(|| panic!("nobody knows the schema {schema}"));
    check(&record);
    record
}

/// The schema that the binary prints for a tool, in the hands of another implementation.
pub(crate) fn validator(tool: &str) -> Arc<Validator> {
    static VALIDATORS: Mutex<BTreeMap<String, Arc<Validator>>> = Mutex::new(BTreeMap::new());
    let mut validators = VALIDATORS.lock().expect("no thread panics with it");
    let known = validators.entry(tool.to_owned()).or_insert_with(|| {
        let output = Command::new(binary()).args(["schema", tool]).output().expect("osdiag starts");
        assert!(output.status.success(), "osdiag schema {tool}: {}", String::from_utf8_lossy(&output.stderr));
        let schema = serde_json::from_slice(&output.stdout).expect("a schema is JSON");
        Arc::new(jsonschema::draft202012::new(&schema).expect("a schema is a schema"))
    });
    known.clone()
}

/// How records name the device that a file is on, or that a node stands for.
pub(crate) fn device_of(path: &Path) -> String {
    let metadata = fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let device = if metadata.rdev() != 0 { metadata.rdev() } else { metadata.dev() };
    format!("{}:{}", libc::major(device), libc::minor(device))
}

/// Whether two numbers differ by at most a share of the second.
pub(crate) fn within(share: f64, left: u64, right: u64) -> bool {
    left.abs_diff(right) as f64 <= share * right as f64
}

/// A count or a time.
pub(crate) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

impl Record {
    /// A string at the top.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0[key].as_str().unwrap_or_else(|| panic!("{key} is no string in {}", self.0))
    }

    /// Calls that may be missing, because the kernel left a program out or did not report a switch: on a busy machine some dozens, or one
    /// in a hundred of what it did report.
    pub(crate) fn missed(&self) -> u64 {
        let missed = number(&self.0["lost"]["missed_runs"]);
        let all = self.0["self"]["events"].as_u64().unwrap_or_default();
        assert!(missed <= (all / 100).max(50), "{missed} runs of {all} were missed in {}", self.0["lost"]);
        missed
    }

    /// That nothing was lost but what the kernel itself withheld.
    pub(crate) fn assert_complete(&self) {
        let lost = self.0["lost"].as_object().expect("lost is an object");
        for (name, count) in lost.iter().filter(|(name, _)| *name != "missed_runs") {
            assert_eq!(count, 0, "lost {name} in {}", self.0["lost"]);
        }
    }
}
