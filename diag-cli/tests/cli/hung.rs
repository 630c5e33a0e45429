//! `osdiag schema hung` in the eyes of an independent validator, with a record that was written by hand.

use serde_json::{Value, json};

use crate::schema::{check_refused, check_required, complaints, record_with, schema};

fn record() -> Value {
    record_with(include_str!("hung.json"))
}

#[test]
fn a_record_of_the_contract_is_valid() {
    let schema = schema("hung");
    jsonschema::draft202012::meta::validate(&schema).expect("valid");
    assert_eq!(complaints(&schema, &record()), Vec::<String>::new());
}

#[test]
fn every_key_of_the_contract_is_required() {
    let objects = [
        ("", &[][..]),
        ("/tasks/0", &[]),
        ("/tasks/0/task", &[]),
        ("/tasks/0/device", &[]),
        ("/tasks/0/chain/0", &[]),
        ("/tasks/0/chain/2", &[]),
        ("/tasks_omitted", &[]),
        ("/stuck_groups/0", &[]),
        ("/stuck_groups/0/comms/0", &[]),
        ("/watchdogs/0", &[]),
        ("/verdict", &[]),
        ("/verdict/subject", &[]),
    ];
    check_required(&schema("hung"), &record(), &objects);
}

#[test]
fn what_the_contract_does_not_allow_is_refused() {
    let places = [
        ("/schema", json!("osdiag.iolat/1")),
        ("/unavailable/0/name", json!("luck")),
        ("/task_count", Value::Null),
        ("/tasks/0/state", json!("D")),
        ("/tasks/0/cause", Value::Null),
        ("/tasks/0/cause", json!("fuse")),
        ("/tasks/0/via", json!("signal")),
        ("/tasks/0/device", json!("loop0")),
        ("/tasks/0/chain/0/relation", json!("friend")),
        ("/tasks/0/chain/1/class", json!("bad")),
        ("/tasks/0/chain/1/deadlock", Value::Null),
        ("/stuck_groups/0/root", json!("sshfs[400]")),
        ("/watchdogs/0/watchdog", json!("dog")),
        ("/verdict/advice/0/rule", json!("pray")),
    ];
    check_refused(&schema("hung"), &record(), &places);
}
