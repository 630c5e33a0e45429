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

/// The keys that `osdiag iolat` adds to the common ones.
const OF_IOLAT: &[&str] = &[
    "operations",
    "operations_omitted",
    "slowest",
    "slowest_omitted",
    "pending",
    "pending_omitted",
    "verdict",
];

/// The same of another tool: the common keys, and its own, which `own` has.
pub(crate) fn record_with(own: &str) -> Value {
    let mut record = record();
    let own: Value = serde_json::from_str(own).expect("JSON");
    let keys = record.as_object_mut().expect("an object");
    keys.retain(|key, _| !OF_IOLAT.contains(&key.as_str()));
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
    without["verdict"] = verdict_of_nothing();
    for key in ["slowest", "operations", "probes", "unavailable"] {
        without[key] = json!([]);
    }
    for key in ["pending", "pending_omitted"] {
        without[key] = Value::Null;
    }
    assert_eq!(complaints(&schema("iolat"), &without), Vec::<String>::new());
    let container = json!({"id": "3f2a", "name": null, "runtime": "docker", "pod": null, "namespace": null});
    for (kind, keys) in [
        ("system", json!({})),
        ("container", json!({"container": container, "cgroup": "/a", "cgroup_id": 12})),
        ("unit", json!({"unit": "a.service", "cgroup": "/a", "cgroup_id": 12})),
        ("pid", json!({"pids": [1, 2]})),
        ("comm", json!({"comm": "fio"})),
        ("command", json!({"command": ["dd", "if=x"], "pids": [12], "ended": "command-exited"})),
    ] {
        for value in without["target"].as_object_mut().expect("an object").values_mut() {
            *value = Value::Null;
        }
        without["target"]["kind"] = json!(kind);
        for (key, value) in keys.as_object().expect("an object") {
            without["target"][key] = value.clone();
        }
        assert_eq!(complaints(&schema("iolat"), &without), Vec::<String>::new());
    }
}

/// A verdict where nothing is the matter.
pub(crate) fn verdict_of_nothing() -> Value {
    json!({
        "status": "nothing", "statement": "Nothing is slow", "subject": null, "layer": null, "cause": null, "via": null,
        "share": null, "ns": null, "advice": null,
    })
}

/// Every object in a record, by its place.
fn objects(value: &Value, place: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(keys) => {
            found.push(place.to_owned());
            keys.iter().for_each(|(key, value)| objects(value, &format!("{place}/{key}"), found));
        }
        Value::Array(items) => {
            (0..).zip(items).for_each(|(at, item): (u32, _)| objects(item, &format!("{place}/{at}"), found));
        }
        _ => {}
    }
}

/// Checks that a record lacks something without any key of any of its objects.
pub(crate) fn check_all_required(schema: &Value, record: &Value) {
    let mut found = Vec::new();
    objects(record, "", &mut found);
    let places: Vec<(&str, &[&str])> = found.iter().map(|place| (place.as_str(), &[][..])).collect();
    check_required(schema, record, &places);
}

#[test]
fn every_key_of_the_contract_is_required() {
    check_all_required(&schema("iolat"), &record());
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
        ("/slowest/0/file", json!(7)),
        ("/slowest/0/task/pid", json!("self")),
        ("/operations/0/device", json!("vda1")),
        ("/operations/0/causes/0/via", json!({"layer": "block", "cause": "device"})),
        ("/unavailable/0/name", json!("luck")),
        ("/settings/thresholds/0/threshold", json!("patience")),
        ("/verdict/status", json!("perhaps")),
        ("/verdict/advice/0/rule", json!("reboot")),
    ];
    check_refused(&schema, &record(), &places);
}
