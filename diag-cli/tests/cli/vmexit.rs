//! `osdiag schema vmexit` in the eyes of an independent validator, with a record that was written by hand.

use serde_json::{Value, json};

use crate::osdiag;

fn schema() -> Value {
    let answer = osdiag(&["schema", "vmexit"]);
    assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""));
    serde_json::from_str(&answer.out).expect("a schema is JSON")
}

/// A record as the contract describes it: the common keys of another tool's, and this tool's own.
fn record() -> Value {
    let mut record: Value = serde_json::from_str(include_str!("record.json")).expect("JSON");
    let own: Value = serde_json::from_str(include_str!("vmexit.json")).expect("JSON");
    let keys = record.as_object_mut().expect("an object");
    keys.retain(|key, _| !matches!(key.as_str(), "operations" | "slowest" | "pending" | "verdict"));
    keys.extend(own.as_object().expect("an object").clone());
    record
}

fn complaints(schema: &Value, record: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(schema).expect("a schema");
    validator.iter_errors(record).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[test]
fn a_record_of_the_contract_is_valid() {
    let schema = schema();
    jsonschema::draft202012::meta::validate(&schema).expect("valid");
    assert_eq!(complaints(&schema, &record()), Vec::<String>::new());
    let mut without = record();
    for key in ["verdict", "exit_cost_ns", "vcpu_share", "vcpu_share_certain"] {
        without[key] = Value::Null;
    }
    without["causes"] = json!([]);
    assert_eq!(complaints(&schema, &without), Vec::<String>::new());
}

#[test]
fn every_key_of_the_contract_is_required() {
    let schema = schema();
    for (object, optional) in [
        ("", &["exit_cost_ns", "vcpu_share", "vcpu_share_certain", "verdict"][..]),
        ("/causes/0", &["msr", "estimated_ns", "vcpu_share"]),
        ("/causes/1/by/0", &["cgroup"]),
        ("/exit_cost_ns", &[]),
        ("/features", &["hz"]),
        ("/features/paravirtual/1", &["used"]),
        ("/idle", &["halt_poll_ns"]),
        ("/interrupts", &[]),
        ("/verdict", &[]),
        ("/advice/0", &[]),
        ("/not_visible/0", &[]),
    ] {
        let keys: Vec<String> =
            record().pointer(object).and_then(Value::as_object).expect(object).keys().cloned().collect();
        for key in keys.iter().filter(|key| !optional.contains(&key.as_str())) {
            let mut less = record();
            less.pointer_mut(object).and_then(Value::as_object_mut).expect(object).remove(key);
            assert_ne!(complaints(&schema, &less), Vec::<String>::new(), "{object}/{key}");
        }
    }
}

#[test]
fn what_the_contract_does_not_allow_is_refused() {
    let schema = schema();
    for (place, wrong) in [
        ("/schema", json!("osdiag.iolat/1")),
        ("/causes/0/kind", json!("port-io")),
        ("/causes/0/exits", json!("maybe")),
        ("/causes/0/count", json!(-1)),
        ("/causes/0/msr", json!("0x6e0")),
        ("/causes/0/by/0/context", json!("nmi")),
        ("/features/paravirtual/0/offered", json!("yes")),
        ("/steal_ns", json!(null)),
    ] {
        let mut other = record();
        *other.pointer_mut(place).expect(place) = wrong;
        assert_ne!(complaints(&schema, &other), Vec::<String>::new(), "{place}");
    }
}
