//! `osdiag schema runq` in the eyes of an independent validator, with a record that was written by hand.

use serde_json::{Value, json};

use crate::schema::{check_all_required, check_refused, complaints, record_with, schema, verdict_of_nothing};

fn record() -> Value {
    record_with(include_str!("runq.json"))
}

#[test]
fn a_record_of_the_contract_is_valid() {
    let schema = schema("runq");
    jsonschema::draft202012::meta::validate(&schema).expect("valid");
    assert_eq!(complaints(&schema, &record()), Vec::<String>::new());
    let mut without = record();
    without["verdict"] = verdict_of_nothing();
    without["groups"] = json!([]);
    for key in ["steal_ns", "waiting", "waiting_omitted"] {
        without[key] = Value::Null;
    }
    assert_eq!(complaints(&schema, &without), Vec::<String>::new());
}

#[test]
fn every_key_of_the_contract_is_required() {
    check_all_required(&schema("runq"), &record());
}

#[test]
fn what_the_contract_does_not_allow_is_refused() {
    let schema = schema("runq");
    let places = [
        ("/schema", json!("osdiag.iolat/1")),
        ("/groups/0/throttled_ns", json!(-1)),
        ("/groups/0/group/type", json!("user")),
        ("/groups/0/reason", json!("bad-luck")),
        ("/groups/0/culprits/0/resource", json!("time")),
        ("/groups/0/culprits_omitted", Value::Null),
        ("/cpu_times/0/cpu", json!("0")),
        ("/waiting/0/policy", json!("unknown")),
        ("/waiting/0/task/pid", json!("self")),
        ("/verdict/cause", json!("bad-luck")),
        ("/verdict/advice/0/rule", json!("reboot")),
    ];
    check_refused(&schema, &record(), &places);
}
