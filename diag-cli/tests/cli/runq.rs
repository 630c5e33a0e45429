//! `osdiag schema runq` in the eyes of an independent validator, with a record that was written by hand.

use serde_json::{Value, json};

use crate::osdiag;

fn schema() -> Value {
    let answer = osdiag(&["schema", "runq"]);
    assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""));
    serde_json::from_str(&answer.out).expect("a schema is JSON")
}

/// A record as the contract describes it: the common keys of another tool's, and this tool's own.
fn record() -> Value {
    let mut record: Value = serde_json::from_str(include_str!("record.json")).expect("JSON");
    let own: Value = serde_json::from_str(include_str!("runq.json")).expect("JSON");
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
    without["verdict"] = Value::Null;
    without["steal_ns"] = Value::Null;
    without["groups"] = json!([]);
    assert_eq!(complaints(&schema, &without), Vec::<String>::new());
}

#[test]
fn every_key_of_the_contract_is_required() {
    let schema = schema();
    for (object, optional) in [
        ("", &["rest", "waiting", "steal_ns", "verdict"][..]),
        ("/groups/0", &["comm", "pid"]),
        ("/groups/0/delay", &[]),
        ("/groups/0/culprits/0", &["tid", "cgroup"]),
        ("/cpus/0", &["irq_ns", "steal_ns"]),
        ("/waiting/0", &["cpu"]),
        ("/verdict", &["culprit"]),
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
        ("/by", json!("user")),
        ("/groups/0/throttled_ns", json!(-1)),
        ("/groups/0/culprits/0/kind", json!("process")),
        ("/cpus/0/cpu", json!("0")),
        ("/verdict/reason", json!("bad-luck")),
    ] {
        let mut other = record();
        *other.pointer_mut(place).expect(place) = wrong;
        assert_ne!(complaints(&schema, &other), Vec::<String>::new(), "{place}");
    }
}
