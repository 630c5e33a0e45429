//! `osdiag schema runq` in the eyes of an independent validator, with a record that was written by hand.

use serde_json::{Value, json};

use crate::schema::{check_refused, check_required, complaints, record_with, schema};

fn record() -> Value {
    record_with(include_str!("runq.json"))
}

#[test]
fn a_record_of_the_contract_is_valid() {
    let schema = schema("runq");
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
    let schema = schema("runq");
    let objects = [
        ("", &["rest", "waiting", "steal_ns", "verdict"][..]),
        ("/groups/0", &["comm", "pid"]),
        ("/groups/0/delay", &[]),
        ("/groups/0/culprits/0", &["tid", "cgroup"]),
        ("/cpus/0", &["irq_ns", "steal_ns"]),
        ("/waiting/0", &["cpu"]),
        ("/verdict", &["culprit"]),
    ];
    check_required(&schema, &record(), &objects);
}

#[test]
fn what_the_contract_does_not_allow_is_refused() {
    let schema = schema("runq");
    let places = [
        ("/schema", json!("osdiag.iolat/1")),
        ("/by", json!("user")),
        ("/groups/0/throttled_ns", json!(-1)),
        ("/groups/0/culprits/0/kind", json!("process")),
        ("/cpus/0/cpu", json!("0")),
        ("/verdict/reason", json!("bad-luck")),
    ];
    check_refused(&schema, &record(), &places);
}
