//! `osdiag schema vmexit` in the eyes of an independent validator, with a record that was written by hand.

use serde_json::{Value, json};

use crate::schema::{check_refused, check_required, complaints, record_with, schema};

fn record() -> Value {
    record_with(include_str!("vmexit.json"))
}

#[test]
fn a_record_of_the_contract_is_valid() {
    let schema = schema("vmexit");
    jsonschema::draft202012::meta::validate(&schema).expect("valid");
    assert_eq!(complaints(&schema, &record()), Vec::<String>::new());
    let mut without = record();
    for key in ["exit_cost", "cpu_share", "cpu_share_certain", "cpu_share_idle", "steal_ns"] {
        without[key] = Value::Null;
    }
    for key in ["subject", "layer", "cause", "via", "share", "ns", "advice"] {
        without["verdict"][key] = Value::Null;
    }
    without["activities"] = json!([]);
    without["activities_omitted"]["ns"] = Value::Null;
    assert_eq!(complaints(&schema, &without), Vec::<String>::new());
}

#[test]
fn every_key_of_the_contract_is_required() {
    let objects = [
        "",
        "/activities/0",
        "/activities/0/doers/0",
        "/activities/0/doers/0/task",
        "/activities/0/doers_omitted",
        "/activities_omitted",
        "/exit_cost",
        "/features",
        "/features/paravirtual_features/1",
        "/idle",
        "/idle/halted",
        "/interrupts",
        "/verdict",
        "/verdict/subject",
        "/verdict/advice/0",
        "/invisible_exits/0",
    ];
    check_required(&schema("vmexit"), &record(), &objects.map(|object| (object, &[][..])));
}

#[test]
fn what_the_contract_does_not_allow_is_refused() {
    let schema = schema("vmexit");
    let places = [
        ("/schema", json!("osdiag.iolat/1")),
        ("/activities/0/activity", json!("port-io")),
        ("/activities/0/exits", json!("maybe")),
        ("/activities/0/event_count", json!(-1)),
        ("/activities/0/msr", json!("0x6e0")),
        ("/activities/0/doers/0/context", json!("nmi")),
        ("/features/cpu_vendor", json!("GenuineIntel")),
        ("/features/paravirtual_features/0/offered", json!("yes")),
        ("/exit_cost/method", json!("guess")),
        ("/verdict/advice/0/rule", json!("reboot")),
        ("/verdict/layer", json!("host")),
        ("/invisible_exits/0/exit", json!("luck")),
        ("/interrupts/call_count", json!("many")),
    ];
    check_refused(&schema, &record(), &places);
}
