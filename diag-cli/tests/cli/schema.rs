//! `osdiag schema` in the eyes of an independent validator, with records that were written by hand.

use serde_json::{Value, json};

use crate::osdiag;

/// The schema of a tool's records.
pub(crate) fn schema(tool: &str) -> Value {
    let answer = osdiag(&["schema", tool]);
    assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""));
    serde_json::from_str(&answer.out).expect("a schema is JSON")
}

/// A record as the contract describes it.
fn record() -> Value {
    serde_json::from_str(include_str!("record.json")).expect("JSON")
}

/// The same of another tool: the common keys, and its own, which `own` has.
pub(crate) fn record_with(own: &str) -> Value {
    let mut record = record();
    let own: Value = serde_json::from_str(own).expect("JSON");
    let keys = record.as_object_mut().expect("an object");
    keys.retain(|key, _| !matches!(key.as_str(), "operations" | "slowest" | "pending" | "verdict"));
    keys.extend(own.as_object().expect("an object").clone());
    record
}

pub(crate) fn complaints(schema: &Value, record: &Value) -> Vec<String> {
    let validator = jsonschema::draft202012::new(schema).expect("a schema");
    validator.iter_errors(record).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// Checks that a record lacks something without each key of these objects, but for those that are optional.
pub(crate) fn check_required(schema: &Value, record: &Value, objects: &[(&str, &[&str])]) {
    for &(object, optional) in objects {
        let keys: Vec<String> =
            record.pointer(object).and_then(Value::as_object).expect(object).keys().cloned().collect();
        for key in keys.iter().filter(|key| !optional.contains(&key.as_str())) {
            let mut less = record.clone();
            less.pointer_mut(object).and_then(Value::as_object_mut).expect(object).remove(key);
            assert_ne!(complaints(schema, &less), Vec::<String>::new(), "{object}/{key}");
        }
    }
}

/// Checks that a record with something else at each of these places does not follow the schema.
pub(crate) fn check_refused(schema: &Value, record: &Value, places: &[(&str, Value)]) {
    for (place, wrong) in places {
        let mut other = record.clone();
        *other.pointer_mut(place).expect(place) = wrong.clone();
        assert_ne!(complaints(schema, &other), Vec::<String>::new(), "{place}");
    }
}

#[test]
fn every_tool_is_listed() {
    let answer = osdiag(&["schema"]);
    assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""));
    assert!(answer.out.lines().any(|line| line == "iolat    osdiag.iolat/1"), "{}", answer.out);
}

#[test]
fn the_schema_follows_its_own_schema() {
    let schema = schema("iolat");
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    jsonschema::draft202012::meta::validate(&schema).expect("valid");
}

#[test]
fn a_record_of_the_contract_is_valid() {
    assert_eq!(complaints(&schema("iolat"), &record()), Vec::<String>::new());
    let mut without = record();
    without["verdict"] = Value::Null;
    without["slowest"] = json!([]);
    without["operations"] = json!([]);
    assert_eq!(complaints(&schema("iolat"), &without), Vec::<String>::new());
    for target in [
        json!({"kind": "system"}),
        json!({"kind": "cgroup", "path": "/a", "id": 12}),
        json!({"kind": "container", "container": "3f2a", "path": "/a", "id": 12}),
        json!({"kind": "unit", "unit": "a.service", "path": "/a", "id": 12}),
        json!({"kind": "pid", "pid": [1, 2]}),
        json!({"kind": "comm", "comm": "fio"}),
        json!({"kind": "command", "command": ["dd", "if=x"], "pid": 12}),
    ] {
        without["target"] = target;
        assert_eq!(complaints(&schema("iolat"), &without), Vec::<String>::new());
    }
}

#[test]
fn every_key_of_the_contract_is_required() {
    let schema = schema("iolat");
    for (object, optional) in [
        ("", &[][..]),
        ("/host", &[]),
        ("/self", &[]),
        ("/operations/0", &["device_name"]),
        ("/operations/0/latency", &[]),
        ("/operations/0/layers", &[]),
        ("/operations/0/layers/memory", &[]),
        ("/operations/0/causes/0", &["via", "stack"]),
        ("/operations/0/tail", &[]),
        ("/operations/0/tail/causes/0", &["via", "stack"]),
        ("/slowest/0", &["cgroup", "file", "offset", "bytes", "stack"]),
        ("/verdict", &["via"]),
    ] {
        let keys: Vec<String> =
            record().pointer(object).and_then(Value::as_object).expect(object).keys().cloned().collect();
        for key in keys {
            let mut less = record();
            less.pointer_mut(object).and_then(Value::as_object_mut).expect(object).remove(&key);
            let missed = !complaints(&schema, &less).is_empty();
            assert_eq!(missed, !optional.contains(&key.as_str()), "{object}/{key}");
        }
    }
}

#[test]
fn what_the_contract_does_not_allow_is_refused() {
    let schema = schema("iolat");
    let places = [
        ("/schema", json!("osdiag.runq/1")),
        ("/type", json!("total")),
        ("/start", json!("2026-01-02 03:04:05")),
        ("/duration_ns", json!(-1)),
        ("/target/kind", json!("vm")),
        ("/lost/events", json!("none")),
        ("/operations/0/op", json!("open")),
        ("/operations/0/causes/0/layer", json!("disk")),
        ("/operations/0/causes/0/cause", json!("slow")),
        ("/operations/0/latency/p50_ns", json!(1.5)),
        ("/slowest/0/file", Value::Null),
        ("/verdict/advice", json!("reboot")),
    ];
    check_refused(&schema, &record(), &places);
}
