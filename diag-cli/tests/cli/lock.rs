//! `osdiag schema lock` in the eyes of an independent validator, with a record that was written by hand.

use serde_json::{Value, json};

use crate::schema::{check_refused, check_required, complaints, record_with, schema};

fn record() -> Value {
    record_with(include_str!("lock.json"))
}

#[test]
fn a_record_of_the_contract_is_valid() {
    let schema = schema("lock");
    jsonschema::draft202012::meta::validate(&schema).expect("valid");
    assert_eq!(complaints(&schema, &record()), Vec::<String>::new());
    let mut without = record();
    without["locks"] = json!([]);
    without["pending"] = Value::Null;
    without["pending_omitted"] = Value::Null;
    for key in ["subject", "layer", "cause", "via", "share", "ns", "advice"] {
        without["verdict"][key] = Value::Null;
    }
    without["verdict"]["status"] = json!("nothing");
    assert_eq!(complaints(&schema, &without), Vec::<String>::new());
}

#[test]
fn every_key_of_the_contract_is_required() {
    let objects = [
        "",
        "/locks/0",
        "/locks/0/wait",
        "/locks/0/callers/0",
        "/locks/0/waiters/0",
        "/locks/0/waiters/0/task",
        "/locks/0/owners/0",
        "/locks/1",
        "/locks_omitted",
        "/pending/0",
        "/verdict",
        "/verdict/subject",
        "/verdict/advice/0",
    ];
    check_required(&schema("lock"), &record(), &objects.map(|object| (object, &[][..])));
}

#[test]
fn what_the_contract_does_not_allow_is_refused() {
    let places = [
        ("/schema", json!("osdiag.iolat/1")),
        ("/locks/0/lock_type", json!("futex")),
        ("/locks/0/address", json!(7)),
        ("/locks/0/owners/0/state", json!("busy")),
        ("/locks/0/owners/0/reader", Value::Null),
        ("/locks/0/waiters/0/task/pid", json!(-1)),
        ("/locks_omitted", Value::Null),
        ("/pending/0/waited_ns", Value::Null),
        ("/verdict", Value::Null),
        ("/verdict/via", json!("disk")),
        ("/verdict/advice/0/rule", json!("reboot")),
    ];
    check_refused(&schema("lock"), &record(), &places);
}
